// Preloaded by `--import`: the wall clock of this process is ahead by TEST_CLOCK_SHIFT_MS. The
// monotonic clock and all timers stay as they are.
const shift = Number(process.env.TEST_CLOCK_SHIFT_MS ?? 0);
const RealDate = Date;
const now = () => RealDate.now() + shift;

globalThis.Date = new Proxy(RealDate, {
  construct: (target, args, newTarget) =>
    Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
  apply: () => new RealDate(now()).toString(),
  get: (target, property, receiver) =>
    property === 'now' ? now : Reflect.get(target, property, receiver),
});
