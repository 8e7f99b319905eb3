import { type Replica } from './replica.js';
import { type VoteRequest } from './types.js';

/**
 * The voter's side, in any role. Comes before terms are settled: a vote that is ignored must not move the term.
 *
 * - In contact with a leader, nobody's vote is wanted (R09): a pre-vote is refused, a vote not even answered.
 * - A pre-vote is an opinion: nothing is remembered, and it can be given to many (R07).
 * - A replica that lost its disk does not know what it voted before, or had acknowledged: it votes for nobody (R22).
 * - One that may have forgotten the end of its log says so: its vote counts only where all voted (R23).
 * - A vote is given once in a term, to a log that is no older than this one (R05), and leaves after its sync (R01).
 */
export function onVoteRequest(replica: Replica, request: VoteRequest): void {
  if (request.term < replica.term || replica.lostDisk) return refuse(replica, request);
  if (request.pre) {
    if (request.term === replica.term || replica.inContact || !isLogRecent(replica, request)) {
      return refuse(replica, request);
    }
    answer(replica, request, request.term, true);
    return;
  }
  if (request.term > replica.term) {
    if (replica.inContact && !request.transfer) return;
    replica.becomeFollower(request.term, null);
  }
  const free = replica.votedFor === null || replica.votedFor === request.from;
  if (!free || replica.leaderId !== null || !isLogRecent(replica, request)) {
    return refuse(replica, request);
  }
  if (replica.role !== 'follower') replica.setRole('follower', null);
  replica.vote(request.from);
  replica.resetElectionTimer(true);
  answer(replica, request, replica.term, true);
}

/** Raft section 5.4.1: the later last term wins, then the longer log. */
function isLogRecent(replica: Replica, request: VoteRequest): boolean {
  const { lastTerm, lastIndex } = replica.log;
  if (request.lastTerm !== lastTerm) return request.lastTerm > lastTerm;
  return request.lastIndex >= lastIndex;
}

function refuse(replica: Replica, request: VoteRequest): void {
  answer(replica, request, replica.term, false);
}

function answer(replica: Replica, request: VoteRequest, term: number, granted: boolean): void {
  const response = {
    kind: 'vote-response',
    from: replica.id,
    to: request.from,
    term,
    pre: request.pre,
    granted,
    forgetful: replica.forgetful,
  } as const;
  if (granted && !request.pre) replica.sendAfterSync(response);
  else replica.send(response);
}
