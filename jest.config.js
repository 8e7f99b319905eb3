const swc = [
  '@swc/jest',
  {
    jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
    module: { type: 'commonjs' },
    sourceMaps: 'inline',
  },
];
// These start real nodes or threads, which run as bundles: made anew, so that they are what the sources say.
const programs = { globalSetup: '<rootDir>/test/programs.js' };
const common = {
  testEnvironment: 'node',
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  transform: { '^.+\\.ts$': swc },
  testEnvironmentOptions: { customExportConditions: ['source', 'node', 'node-addons'] },
};

/** @type {import('jest').Config} */
module.exports = {
  // A busy machine is slow, not broken; nothing here measures time by its own limit.
  testTimeout: 30_000,
  testSequencer: '<rootDir>/test/sequencer.js',
  projects: [
    {
      ...common,
      displayName: 'unit',
      testMatch: ['<rootDir>/packages/*/src/**/*.test.ts', '<rootDir>/test/house/**/*.test.ts'],
    },
    {
      ...common,
      ...programs,
      displayName: 'sim',
      testMatch: ['<rootDir>/test/{sim,model}/**/*.test.ts'],
    },
    {
      ...common,
      ...programs,
      displayName: 'integration',
      testMatch: ['<rootDir>/test/integration/**/*.test.ts'],
    },
    {
      ...common,
      ...programs,
      displayName: 'conformance',
      testMatch: ['<rootDir>/test/conformance/**/*.test.ts'],
    },
  ],
};
