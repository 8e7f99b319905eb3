import { type CommandKind } from './command-kind.js';

/** The key of receipt handles; the first one wins. */
export interface SetClusterSecret {
  readonly kind: 'set-cluster-secret';
  readonly secret: Buffer;
}

export const setClusterSecretKind: CommandKind<SetClusterSecret> = {
  number: 5,
  write: (writer, command) => writer.bytes(command.secret),
  read: (reader) => ({ kind: 'set-cluster-secret', secret: reader.bytes() }),
  apply: ({ tables }, { secret }) => {
    if (tables.shared.secret !== null) return null;
    tables.shared.secret = secret;
    tables.changed(tables.shared);
    return null;
  },
};
