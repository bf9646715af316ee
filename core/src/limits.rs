//! Every bound of the core, in one place, units last in the name.
//!
//! Owns numbers. A bound that a person may set is in `settings`; these here are the same for
//! every host and every log.

/// Characters of an id given by a caller.
pub const ID_CHARS_MAX: usize = 128;
/// Event ids given with one command.
pub const EVENT_IDS_MAX: usize = 1_000;
/// Attempts at an effect; when the last one fails it is given up.
pub const EFFECT_ATTEMPTS_MAX: u32 = 10;
/// Milliseconds before an effect is attempted again; doubled each time.
pub const EFFECT_RETRY_MS: u64 = 1_000;
/// The longest of these waits.
pub const EFFECT_RETRY_MS_MAX: u64 = 300_000;
/// Characters that are kept of why an effect failed.
pub const EFFECT_ERROR_CHARS_MAX: usize = 500;
/// Bytes that are read of the answer to an outside call.
pub const REPLY_BYTES_MAX: usize = 64 * 1024;
/// Characters of such an answer that are told with a failure.
pub const REPLY_SHOWN_CHARS_MAX: usize = 200;
/// Consumers of a partition.
pub const CONSUMERS_MAX: u64 = 1_000;
/// Topics of a consumer.
pub const CONSUMER_TOPICS_MAX: usize = 100;
/// Earlier secrets of a consumer that go on to sign for a day.
pub const CONSUMER_KEYS_MAX: usize = 4;
/// Characters of a consumer's callback.
pub const CALLBACK_CHARS_MAX: usize = 2_048;
/// Events of one delivery.
pub const DELIVERY_EVENTS_MAX: u32 = 100;
/// Attempts at a delivery; when the last one fails its consumer is removed.
pub const DELIVERY_ATTEMPTS_MAX: u32 = 10;
/// Deliveries to consumers that lead to a command, one after the other.
pub const HOPS_MAX: u32 = 16;
/// Characters of a partition's name.
pub const PARTITION_CHARS_MAX: usize = 63;
/// Characters of an idempotency key.
pub const KEY_CHARS_MAX: usize = 255;
/// Characters of an email address: what mail can carry.
pub const EMAIL_CHARS_MAX: usize = 254;
/// Characters of correlation ids, causation ids and actors.
pub const HEADER_ID_CHARS_MAX: usize = 255;
/// `Foldlog-Meta-*` headers of one command.
pub const META_COUNT_MAX: usize = 16;
/// Characters of a `Foldlog-Meta-*` name, after the prefix.
pub const META_NAME_CHARS_MAX: usize = 64;
/// Characters of a `Foldlog-Meta-*` value.
pub const META_VALUE_CHARS_MAX: usize = 256;
/// Request line and headers together, in bytes.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Items of a list when the caller does not say.
pub const LIST_LIMIT_DEFAULT: u32 = 100;
/// Items of a list at most.
pub const LIST_LIMIT_MAX: u32 = 1_000;
/// A list, or a page of stored commits, ends here, after at least one item.
pub const PAGE_BYTES_MAX: usize = 1 << 20;
/// A page of a live answer ends here, after at least one event: a reader that takes nothing more
/// has some of them under way.
pub const LIVE_PAGE_BYTES: usize = 64 << 10;
/// Events in a page of a live answer.
pub const LIVE_PAGE_EVENTS: u32 = 256;
/// One commit; a Durable Object's row holds 2 MB.
pub const COMMIT_BYTES_MAX: usize = 1_800_000;
/// Largest amount, balance, position and version: what JavaScript holds exactly, 2^53−1.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;
/// One part of an import.
pub const IMPORT_BYTES_MAX: u64 = 64 << 20;
/// Arrays and objects inside each other in a stored line: payloads lie some levels down in it.
pub const LINE_DEPTH_MAX: usize = 80;
/// Blocks of an unfinished import that one transaction deletes: 64 MB of them.
pub const CUT_BLOCKS_MAX: u32 = 1_024;
/// Rounds of reading that one input may take. A list of 1,000 newest events walks 8 index chunks,
/// one a round, after bisecting two times; twice that is never needed.
pub const STAGE_ROUNDS_MAX: u32 = 64;
/// Bytes of rows and commits that one input may read.
pub const STAGE_READ_BYTES_MAX: usize = 4 << 20;
/// Commits handed to the guest in one fold.
pub const FOLD_COMMITS_MAX: u32 = 4_096;
/// Records of a stream that one step of folding it again takes in.
pub const REFOLD_PAGE: u32 = 128;
/// A snapshot of a version that this divides stays for ever.
pub const SNAPSHOT_STAYS_EVERY: u64 = 500;
/// Commits that a slice of a rebuild reads at a time.
pub const SLICE_PAGE_COMMITS: u32 = 1_024;
/// Rows of a generation of no use that one transaction deletes: a few milliseconds.
pub const TRIMMED_ROWS_MAX: u32 = 1_000;
/// Events that a slice takes in where no clock can be read: a few milliseconds.
pub const SLICE_EVENTS: u32 = 256;
/// So many times the events after which rows are stored are taken in by slices before that happens:
/// commands wait for each checkpoint, and what a crash loses is built again beside them.
pub const SLICE_TAILS_MAX: u64 = 8;
/// Positions in one chunk of an index.
pub const POSTINGS_CHUNK: u32 = 128;
/// Expired idempotency keys that one commit drops.
pub const EXPIRED_KEYS_PER_COMMIT: u32 = 64;
/// Index entries that one page of a list with several filters looks at.
pub const FILTER_SCAN_MAX: usize = 4_096;
/// Transactions shown with an account.
pub const TRANSACTIONS_SHOWN: u32 = 100;
/// Changes of state shown with an issue or an execution.
pub const STATES_SHOWN: u32 = 100;
/// Characters of what an issue or an execution is about.
pub const TITLE_CHARS_MAX: usize = 256;
/// Characters of why its state changed.
pub const REASON_CHARS_MAX: usize = 1_000;
/// Characters of the name of a state, and of what leads to another.
pub const STATE_CHARS_MAX: usize = 64;
/// Members that one command assigns to a subscription.
pub const MEMBERS_PER_COMMAND_MAX: usize = 100;
/// Members of a subscription.
pub const MEMBERS_MAX: usize = 1_000;
/// A schema document.
pub const SCHEMA_BYTES_MAX: usize = 64 * 1024;
/// Arrays and objects inside each other in a schema.
pub const SCHEMA_DEPTH_MAX: usize = 32;
/// Instructions of all patterns of a schema: 10,000 characters that are spelled out.
pub const SCHEMA_PATTERNS_MAX: usize = 10_000;
/// Evaluations that a schema can ask for of one value, each way through references counted.
pub const SCHEMA_WAYS_MAX: u64 = 10_000;
/// Schemas that apply to one value because another one does, one leading to the next.
pub const SCHEMA_CHAIN_MAX: u64 = 64;
/// Evaluations inside each other: 64 levels of a payload, with some references at each. The guest's
/// stack has 1 MiB.
pub const SCHEMA_EVALUATIONS_MAX: u32 = 256;
/// Keywords evaluated for one payload, or as much work of other kinds: some tens of milliseconds.
pub const SCHEMA_STEPS_MAX: u64 = 1_000_000;
/// Violations that are told of one payload.
pub const VIOLATIONS_MAX: usize = 20;
/// Characters of what is told of a violation.
pub const VIOLATION_CHARS_MAX: usize = 300;
/// An entry of the rejection journal: of longer commands none is kept.
pub const REJECTED_ENTRY_BYTES_MAX: usize = 32 << 10;
/// Entries that wait to be stored, in bytes; what comes beyond is not kept.
pub const REJECTED_UNSTORED_BYTES_MAX: usize = 256 << 10;
/// Characters of a topic's name.
pub const TOPIC_CHARS_MAX: usize = 64;
/// Event types of a topic.
pub const TOPIC_TYPES_MAX: usize = 1_000;
/// The schemas of a topic, all versions of all types together, in bytes.
pub const TOPIC_SCHEMAS_BYTES_MAX: usize = 512 << 10;
/// Events of one publication.
pub const PUBLISH_EVENTS_MAX: usize = 1_000;
/// The body of a publication.
pub const PUBLISH_BYTES_MAX: u64 = 1 << 20;
/// Violations that the answer to a publication tells.
pub const PUBLISH_VIOLATIONS_MAX: usize = 100;
/// Schemas that are kept compiled, by the bytes of their texts; those of one topic in any case.
pub const COMPILED_BYTES_MAX: usize = 1 << 20;
