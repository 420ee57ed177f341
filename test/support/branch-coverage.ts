/**
 * Which branches of the election machine its tests never take: `npm run coverage:election`.
 *
 * Node runs the sources as they are and counts blocks itself (`NODE_V8_COVERAGE`); stripped types
 * leave every offset where it was. A parser lists the branches, so that also those without a block
 * of their own are asked for: an `if` without `else` must have been false once, and the right side
 * of `&&`, `||` and `??` must have been needed once and not needed once.
 *
 * Exit code 1 and one line for each branch that is missing; 2 when the tests themselves fail.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseAst } from 'rolldown/parseAst';
import { startVitest } from 'vitest/node';

const root = resolve(import.meta.dirname, '../..');
const FILES = ['machine', 'turn', 'rules', 'standing', 'voting', 'leading', 'proposing'];
const TESTS = ['transcripts', 'machine'].map((name) => `test/election/${name}*.test.ts`);

interface Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}
interface Script {
  readonly url: string;
  readonly functions: readonly { readonly ranges: readonly Range[] }[];
}

type Measured = ReadonlyMap<string, readonly (readonly Range[])[]>;

interface Node {
  readonly type: string;
  readonly start: number;
  readonly [key: string]: unknown;
}

interface Branch {
  readonly at: number;
  readonly what: string;
  readonly taken: number;
}

/** Runs the tests; one list of ranges for every process and file. */
async function measure(folder: string): Promise<Measured> {
  process.env.NODE_V8_COVERAGE = folder;
  const vitest = await startVitest('test', [], {
    root,
    config: false,
    watch: false,
    pool: 'forks',
    include: TESTS,
    setupFiles: ['test/support/take-coverage.ts'],
    // Node itself loads the sources: what it counts is what stands in the file.
    experimental: { viteModuleRunner: false },
  });
  const failed = vitest.state.getCountOfFailedTests() > 0 || process.exitCode;
  await vitest.close();
  if (failed) process.exit(2);
  const found = new Map<string, (readonly Range[])[]>();
  for (const name of readdirSync(folder)) {
    const { result } = JSON.parse(readFileSync(join(folder, name), 'utf8'));
    for (const { url, functions } of result as readonly Script[]) {
      const ranges = functions.flatMap((f) => f.ranges);
      found.set(url, [...(found.get(url) ?? []), ranges]);
    }
  }
  return found;
}

/** How often the code at `offset` ran: the innermost range says so in each process. */
function countAt(processes: readonly (readonly Range[])[], offset: number): number {
  let sum = 0;
  for (const ranges of processes) {
    let inner: Range | undefined;
    for (const range of ranges) {
      if (range.startOffset > offset || range.endOffset <= offset) continue;
      const width = range.endOffset - range.startOffset;
      if (inner === undefined || width <= inner.endOffset - inner.startOffset) inner = range;
    }
    sum += inner?.count ?? 0;
  }
  return sum;
}

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && 'type' in value && 'start' in value;

function* walk(node: Node): Generator<Node> {
  yield node;
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (isNode(child)) yield* walk(child);
    }
  }
}

/** Every branch of one node of the tree. */
function branchesOf(node: Node, ran: (of: unknown) => number): readonly Branch[] {
  const at = node.start;
  const taken = (what: string, of: unknown): Branch => ({ at, what, taken: ran(of) });
  const rest = (what: string, of: unknown): Branch => ({ at, what, taken: ran(node) - ran(of) });
  switch (node.type) {
    case 'IfStatement': {
      const { consequent, alternate } = node;
      const otherwise = isNode(alternate)
        ? taken('else', alternate)
        : rest('if, false', consequent);
      return [taken('if, true', consequent), otherwise];
    }
    case 'ConditionalExpression':
      return [taken('? true', node.consequent), taken(': false', node.alternate)];
    case 'LogicalExpression': {
      const { operator, right } = node;
      return [taken(`${operator} right`, right), rest(`${operator} left alone`, right)];
    }
    case 'SwitchCase': {
      const [first] = node.consequent as readonly unknown[];
      return first === undefined ? [] : [taken('case', first)];
    }
    case 'CatchClause':
      return [taken('catch', node.body)];
    case 'FunctionDeclaration':
    case 'ArrowFunctionExpression':
      return [taken('function', node.body)];
    case 'ForOfStatement':
      return [taken('loop', node.body)];
    default:
      return [];
  }
}

const folder = mkdtempSync(join(tmpdir(), 'bzzz-coverage-'));
let missing = 0;
try {
  const measured = await measure(folder);
  for (const name of FILES) {
    const file = `src/election/${name}.ts`;
    const source = readFileSync(join(root, file), 'utf8');
    const processes = measured.get(pathToFileURL(join(root, file)).href) ?? [];
    const tree = parseAst(source, { lang: 'ts' }) as unknown as Node;
    const ran = (of: unknown): number => (isNode(of) ? countAt(processes, of.start) : 0);
    const all = [...walk(tree)].flatMap((node) => branchesOf(node, ran));
    const never = all.filter((branch) => branch.taken <= 0);
    console.log(`${file}: ${all.length - never.length} of ${all.length} branches`);
    for (const { at, what } of never) {
      const line = source.slice(0, at).split('\n').length;
      console.log(`  ${file}:${line} ${what}: ${source.slice(at).split('\n')[0]?.slice(0, 70)}`);
    }
    missing += never.length;
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (missing > 0) {
  console.log(`${missing} branches are never taken`);
  process.exitCode = 1;
}
