const Sequencer = require('@jest/test-sequencer').default;

/**
 * The simulator first: it takes minutes, and on a fresh checkout Jest knows nothing but the sizes of files, begins with the
 * largest, and would end with one core idle.
 */
module.exports = class extends Sequencer {
  sort(tests) {
    const long = ({ context }) => context.config.displayName?.name === 'sim';
    const sorted = super.sort(tests);
    return [...sorted.filter(long), ...sorted.filter((test) => !long(test))];
  }
};
