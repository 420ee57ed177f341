/**
 * Every bound of the node in one place. Sizes in bytes, times in ms.
 * @module
 */
export const LIMITS = {
  /** A UCXL address, DESIGN of addresses §1. */
  addressBytes: 1_024,
  /** A certificate carries one statement per party, so parties bound its size. */
  parties: 16,
  rosterMembers: 256,
  /** One roster entry with its signatures. */
  rosterEntryBytes: 16_384,
  /** Entries sent in one frame of the roster exchange. */
  rosterEntriesPerFrame: 64,
  /** A frame of the roster exchange, and a join request or its answer. */
  rosterFrameBytes: 262_144,
  /** Frames of entries that one exchange asks for: 65,536 entries. */
  rosterRounds: 1_024,
  /** Points of its chain that a node names at the start of an exchange; spaced by powers of two. */
  rosterSamples: 40,
  genesisBytes: 1_024,
  invitationBytes: 4_096,
  /** Writers that wait for their turn at the roster. */
  rosterQueue: 1_024,
  /** Invitations that one voter remembers. */
  invitations: 1_024,
  invitationTtlMs: 30 * 24 * 3_600_000,
  invitationAddresses: 8,
  /** A voter's sealed vote. */
  voteBytes: 512,
  /** Votes of a majority of 16 voters, and what they are for. */
  leaderCertificateBytes: 3_072,
  /** The leader's word that it leads counts so long, and is renewed well before. */
  leaderHeadLifeMs: 24 * 3_600_000,
  /** A stranger may stay this long to join. */
  strangerMs: 10_000,
  /** A frame of a long-lived direct stream: a message of 1 MiB and its envelope. */
  directFrameBytes: 1_048_576 + 65_536,
  /** Frames waiting for one peer. */
  directQueue: 1_024,
  directTtlMs: 10_000,
  directRequestMs: 5_000,
  /** A note: an unacknowledged direct message. */
  noteBytes: 32_768,
  /** Notes that one peer may send at once, and each second after that. */
  noteBurst: 2_048,
  notesPerSecond: 512,
  streamIdleMs: 30_000,
  streamFirstByteMs: 10_000,
  /** A session message other than a proposal with its message. */
  sessionMessageBytes: 65_536,
  /** The message of a signing request; larger ones are refused: sign a digest. */
  signMessageBytes: 1_048_576,
  /** The highest rate that a key may set for its requesters. */
  requestsPerMinute: 60_000,
  /** (key, requester) pairs whose rate one node counts; the oldest go first. */
  ratedRequesters: 16_384,
  /** Messages up to this size are shown to an external policy program. */
  policyMessageBytes: 65_536,
  policyReasonBytes: 200,
  /** An encrypted backup of one node. */
  backupBytes: 64 * 1_048_576,
  purposeBytes: 128,
  nameBytes: 63,
  requesters: 64,
  liveSessions: 256,
  sessionEventsPerAuthor: 64,
  /** Sessions remembered; the oldest ended ones go first. */
  sessionHistory: 1_024,
  keys: 4_096,
  sessionTtlMs: 600_000,
  /** What a job is about, as UTF-8. */
  jobSubjectBytes: 1_024,
  jobResultBytes: 1_024,
  /** Jobs in the leader's table; the ones that ended first go first. */
  jobs: 4_096,
  /** Jobs given to one owner at a time, and named in one message. */
  jobsPerOwner: 64,
  /** Earlier owners that a job remembers. */
  jobOwners: 8,
  /** Attempts that failed or were lost, until the job counts as failed. */
  jobFailures: 5,
  /** Changes of the job table that wait for the next write. */
  jobQueue: 4_096,
  /** Ended jobs that one executor remembers. */
  jobRecords: 8_192,
  snapshotChunkBytes: 32_768,
  snapshotChunks: 4_096,
  /** Chunks in one message between voters, together. */
  snapshotFrameBytes: 524_288,
  gossipBytes: 65_536,
  announcementBytes: 4_096,
  announceAgeMs: 30_000,
  addressesPerPeer: 16,
  /** Inline content of a record. */
  contentBytes: 32_768,
  /** Larger content is cut into pieces of this size. */
  chunkBytes: 262_144,
  /** Content in pieces; the list of its pieces must fit `contentBytes`. */
  chunkedBytes: 64 * 1_048_576,
  /** Pieces on one node's disk, and of them what one other member may have it hold. */
  blockStoreBytes: 2 * 1_024 * 1_048_576,
  blockShareBytes: 512 * 1_048_576,
  /** Contents in pieces that one node holds. */
  blockPins: 16_384,
  blockFrameBytes: 65_536,
  /** Pieces asked for in one request: what a reader holds in memory. */
  blockWants: 4,
  /** A stored value: candidates of up to 16 authors, or a certificate. */
  recordBytes: 131_072,
  candidateBytes: 4_096,
  /** The head that says who leads. */
  headBytes: 4_096,
  candidates: 16,
  recordStoreBytes: 256 * 1_048_576,
  recordStoreRecords: 262_144,
  replication: 5,
  controlBodyBytes: 2 * 1_048_576 + 65_536,
  controlHeaderMs: 5_000,
  controlBodyMs: 15_000,
  /** Content that is answered inside a JSON document, where it takes twice its size. */
  jsonContentBytes: 4 * 1_048_576,
  subscriberQueue: 1_024,
  eventHistory: 4_096,
  socketPathBytes: 107,
  /** Backends that a switch can go back to. */
  switchHistory: 16,
} as const;
