import { spawnSync } from 'node:child_process';

const OUTPUT_MAX = 400;

/** Runs a build tool to its end. Null when it succeeded, else why not. */
export function build(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly timeoutMs?: number } = {},
): string | null {
  const { cwd, timeoutMs = 300_000 } = options;
  const done = spawnSync(command, args, { cwd, encoding: 'utf8', timeout: timeoutMs });
  const error = done.error as NodeJS.ErrnoException | undefined;
  if (error?.code === 'ENOENT') return `${command} is not installed`;
  if (error !== undefined) return `${command} did not end: ${error.message}`;
  if (done.status === 0) return null;
  return `${command} failed: ${(done.stdout + done.stderr).slice(-OUTPUT_MAX)}`;
}
