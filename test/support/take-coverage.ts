/** Writes what the engine counted while the worker still lives: the runner ends it by a signal. */
import { takeCoverage } from 'node:v8';
import { afterAll } from 'vitest';

afterAll(() => takeCoverage());
