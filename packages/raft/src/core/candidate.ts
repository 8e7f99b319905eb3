import { becomeLeader } from './leader.js';
import { voteResult, type Vote } from './quorum.js';
import { type Replica } from './replica.js';
import { type Message, type NodeId, type VoteResponse } from './types.js';

/** Asks whether enough would vote, without touching the term (R07). A group of one goes on at once. */
export function preCampaign(replica: Replica): void {
  replica.setRole('pre-candidate', null);
  replica.resetElectionTimer();
  replica.votes.clear();
  count(replica, replica.id, ownVote(replica));
  if (replica.role !== 'pre-candidate') return;
  for (const peer of replica.peers) {
    replica.send(voteRequest(replica, peer, replica.term + 1, true, false));
  }
}

/**
 * A real election in the next term. The requests leave after this replica's own vote is durable; so its own vote can
 * be counted at once.
 * @param transfer the leader asked for it: voters answer although they are in contact with a leader
 */
export function campaign(replica: Replica, transfer: boolean): void {
  replica.enterTerm(replica.term + 1);
  replica.setRole('candidate', null);
  replica.vote(replica.id);
  replica.resetElectionTimer(true);
  replica.votes.clear();
  count(replica, replica.id, ownVote(replica));
  if (replica.role !== 'candidate') return;
  for (const peer of replica.peers) {
    replica.sendAfterSync(voteRequest(replica, peer, replica.term, false, transfer));
  }
}

/** An answer of this term (or a granted pre-vote for the next one). Late answers to another kind of vote do nothing. */
export function onVoteResponse(replica: Replica, response: VoteResponse): void {
  const asked = replica.role === 'pre-candidate' || replica.role === 'candidate';
  if (!asked || response.pre !== (replica.role === 'pre-candidate')) return;
  if (response.pre && response.granted && response.term !== replica.term + 1) return;
  if (replica.votes.has(response.from)) return;
  const yes = response.forgetful ? 'forgetful-yes' : 'yes';
  count(replica, response.from, response.granted ? yes : 'no');
}

function ownVote(replica: Replica): Vote {
  return replica.forgetful ? 'forgetful-yes' : 'yes';
}

/** Takes an answer to the vote under way in, and goes on when that decides it. */
function count(replica: Replica, from: NodeId, vote: Vote): void {
  replica.votes.set(from, vote);
  const result = voteResult(replica.votes.values(), replica.voters.length);
  if (result === 'pending') return;
  // The election deadline stays: losing is no reason to be earlier or later than the dice said.
  if (result === 'lost') replica.setRole('follower', null);
  else if (replica.role === 'pre-candidate') campaign(replica, false);
  else becomeLeader(replica, result === 'won-by-all');
}

function voteRequest(
  replica: Replica,
  to: number,
  term: number,
  pre: boolean,
  transfer: boolean,
): Message {
  const { lastIndex, lastTerm } = replica.log;
  return { kind: 'vote-request', from: replica.id, to, term, pre, lastIndex, lastTerm, transfer };
}
