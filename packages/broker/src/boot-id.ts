import { readFile } from 'node:fs/promises';
import { errorText, type Logger } from '@raftmq/base';

/** Longer ones are cut: what matters is that two differ. */
const BOOT_ID_CHARACTERS_MAX = 64;

/**
 * What tells this start of the machine from the one before: Linux draws it anew each time.
 * @param path `/proc/sys/kernel/random/boot_id`, or a file that stands in for it
 * @returns null when there is none; then any process that did not stop cleanly may have lost power (R23)
 */
export async function readBootId(path: string, logger: Logger): Promise<string | null> {
  let text: string;
  try {
    text = await readFile(path, 'latin1');
  } catch (error) {
    logger.warn(
      { path, error: errorText(error) },
      'no boot id: a process that is killed cannot be told from a power cut',
    );
    return null;
  }
  const id = text.replace(/[^\w-]/g, '').slice(0, BOOT_ID_CHARACTERS_MAX);
  return id === '' ? null : id;
}
