/** Placeholder types until the grammar lands; see kinds.ts for who uses them. */
export interface Address {
  readonly agent: string;
  readonly role: string;
  readonly project: string;
  readonly task: string;
  readonly path: string;
}
