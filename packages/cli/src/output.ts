/** Where a command writes: data on stdout, everything for the person watching on stderr. */
export interface Output {
  /** A line of data. */
  data(line: string): void;
  /** A line about what is going on. */
  note(line: string): void;
}

/** Writes to the streams of this process. A reader that went away (`| head`) ends the output, not the program. */
export function processOutput(): Output {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
    });
  }
  return {
    data: (line) => void process.stdout.write(line + '\n'),
    note: (line) => void process.stderr.write(line + '\n'),
  };
}

/**
 * Lays out rows in columns, two blanks apart; cells that are all numbers in a column stand right.
 * @param rows every row as long as `heads`
 */
export function table(
  heads: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): readonly string[] {
  const widths = heads.map((head, column) =>
    Math.max(head.length, ...rows.map((row) => String(row[column] ?? '').length)),
  );
  const numeric = heads.map((_, column) => rows.every((row) => typeof row[column] === 'number'));
  const line = (cells: readonly (string | number)[]): string =>
    cells
      .map((cell, column) =>
        numeric[column] && rows.length > 0
          ? String(cell).padStart(widths[column]!)
          : String(cell).padEnd(widths[column]!),
      )
      .join('  ')
      .trimEnd();
  return [line(heads), ...rows.map(line)];
}
