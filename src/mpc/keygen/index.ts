/**
 * Key generation: what the shell of the sessions needs.
 * @module
 */
export { checkPending } from './attestation.ts';
export type { Dealing, DealingDeps } from './dealing.ts';
export { type BroughtShare, importDealing } from './importing.ts';
export { readInquiry } from './inquiry.ts';
export { createKeygen, resumeKeygen, stepKeygen } from './machine.ts';
export type {
  Attestation,
  KeygenDeps,
  KeygenEffect,
  KeygenInput,
  KeygenOutcome,
  KeygenPhase,
  KeygenState,
  PersistedKeygen,
} from './types.ts';
