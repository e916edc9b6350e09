//! tokio's current-thread runtime on the same workloads.
//!
//! usage: tokio-peer WORKLOAD [N]

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, Mutex, Notify};
use tokio::task::{spawn, yield_now};
use tokio::time::{sleep, timeout};
use tokio_stream::{Stream, StreamExt};

struct Run {
    n: u64,
    wall: Instant,
    cpu: u64,
    figures: Vec<(&'static str, f64)>,
}

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

extern "C" {
    fn clock_gettime(clock: i32, out: *mut Timespec) -> i32;
}

fn cpu_time() -> u64 {
    let mut t = Timespec { seconds: 0, nanoseconds: 0 };
    unsafe { clock_gettime(2, &mut t) }; // CLOCK_PROCESS_CPUTIME_ID
    t.seconds as u64 * 1_000_000_000 + t.nanoseconds as u64
}

fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

impl Run {
    fn start(&mut self) {
        self.cpu = cpu_time();
        self.wall = Instant::now();
    }
    fn stop(&mut self, operations: u64) {
        let wall = self.wall.elapsed().as_nanos() as f64;
        let cpu = (cpu_time() - self.cpu) as f64;
        self.figures.insert(0, ("cpu_ns_per_op", cpu / operations as f64));
        self.figures.insert(0, ("ns_per_op", wall / operations as f64));
        self.figures.insert(0, ("ops", operations as f64));
    }
    fn latencies(&mut self, mut each: Vec<u64>) {
        each.sort_unstable();
        self.figures.push(("median_ns", each[each.len() / 2] as f64));
        self.figures.push(("p99_ns", each[each.len() * 99 / 100] as f64));
    }
}

/// 0..1000 ms in microseconds; the same sequence in every peer.
struct Delays(u64);
impl Delays {
    fn next(&mut self) -> Duration {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        Duration::from_micros((self.0 >> 33) % 1_000_001)
    }
}

#[inline(never)]
fn one() -> u64 {
    black_box(1)
}

async fn child() -> u64 {
    one()
}

async fn await_chain(run: &mut Run) {
    let mut sum = 0;
    run.start();
    for _ in 0..run.n {
        sum += child().await;
    }
    run.stop(run.n);
    black_box(sum);
}

fn descend(depth: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move { if depth == 0 { 0 } else { 1 + descend(depth - 1).await } })
}

async fn await_depth(run: &mut Run) {
    run.start();
    for _ in 0..run.n / 1000 {
        black_box(descend(1000).await);
    }
    run.stop(run.n / 1000 * 1000);
}

async fn spawn_join(run: &mut Run) {
    let mut sum = 0;
    run.start();
    for _ in 0..run.n {
        sum += spawn(child()).await.unwrap();
    }
    run.stop(run.n);
    black_box(sum);
}

async fn gather(run: &mut Run) {
    let at_once = run.n.min(100_000);
    let mut sum = 0;
    run.start();
    for _ in 0..run.n / at_once {
        let tasks: Vec<_> = (0..at_once).map(|_| spawn(child())).collect();
        for t in tasks {
            sum += t.await.unwrap();
        }
    }
    run.stop(run.n / at_once * at_once);
    black_box(sum);
}

async fn yield_tasks(run: &mut Run, count: u64) {
    let each = run.n / count;
    run.start();
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            spawn(async move {
                for _ in 0..each {
                    yield_now().await;
                }
            })
        })
        .collect();
    for t in tasks {
        t.await.unwrap();
    }
    run.stop(each * count);
}

async fn timers(run: &mut Run) {
    let mut delays = Delays(42);
    run.start();
    let tasks: Vec<_> = (0..run.n).map(|_| spawn(sleep(delays.next()))).collect();
    for t in tasks {
        t.await.unwrap();
    }
    run.stop(run.n);
}

async fn sleepers(run: &mut Run) {
    let before = resident();
    run.start();
    let tasks: Vec<_> = (0..run.n).map(|_| spawn(sleep(Duration::from_secs(3600)))).collect();
    yield_now().await;
    sleep(Duration::from_millis(1)).await; // the scheduler runs 61 tasks between two polls
    run.stop(run.n);
    run.figures.push(("bytes_per_task", (resident() - before) as f64 / run.n as f64));
    std::mem::forget(tasks);
}

async fn timer_cancel(run: &mut Run) {
    run.start();
    for i in 0..run.n {
        let timer = sleep(Duration::from_micros(10_000_000 + i % 1000));
        tokio::pin!(timer);
        // A Sleep is armed by its first poll and disarmed by its drop.
        std::future::poll_fn(|cx| {
            assert!(timer.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        if i % 1000 == 999 {
            yield_now().await;
        }
    }
    run.stop(run.n);
}

async fn wait_for(run: &mut Run) {
    run.start();
    for _ in 0..run.n {
        timeout(Duration::from_secs(10), yield_now()).await.unwrap();
    }
    run.stop(run.n);
}

async fn queue(run: &mut Run, capacity: usize) {
    let n = run.n;
    run.start();
    let (sender, mut receiver) = mpsc::channel(capacity);
    let producer = spawn(async move {
        for i in 0..n {
            sender.send(i).await.unwrap();
        }
    });
    let consumer = spawn(async move {
        let mut sum = 0;
        for _ in 0..n {
            sum += receiver.recv().await.unwrap();
        }
        sum
    });
    producer.await.unwrap();
    black_box(consumer.await.unwrap());
    run.stop(n);
}

async fn lock(run: &mut Run) {
    let lock = Mutex::new(0u64);
    run.start();
    for i in 0..run.n {
        *lock.lock().await = i;
    }
    run.stop(run.n);
}

async fn lock_handoff(run: &mut Run) {
    let lock = Arc::new(Mutex::new(()));
    let each = run.n / 2;
    run.start();
    let tasks: Vec<_> = (0..2)
        .map(|_| {
            let lock = lock.clone();
            spawn(async move {
                for _ in 0..each {
                    let _guard = lock.lock().await;
                    yield_now().await;
                }
            })
        })
        .collect();
    for t in tasks {
        t.await.unwrap();
    }
    run.stop(each * 2);
}

async fn event_pingpong(run: &mut Run) {
    let (ping, pong) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let each = run.n / 2;
    run.start();
    let tasks: Vec<_> = [(ping.clone(), pong.clone()), (pong.clone(), ping.clone())]
        .into_iter()
        .map(|(mine, other)| {
            spawn(async move {
                for _ in 0..each {
                    mine.notified().await;
                    other.notify_one();
                }
            })
        })
        .collect();
    ping.notify_one();
    for t in tasks {
        t.await.unwrap();
    }
    run.stop(each * 2);
}

async fn hand_over(run: &mut Run) {
    run.start();
    for _ in 0..run.n {
        let (sender, receiver) = oneshot::channel();
        spawn(async move { sender.send(1u64).unwrap() });
        black_box(receiver.await.unwrap());
    }
    run.stop(run.n);
}

/// tokio has no plain callbacks: a task that spawns the next one.
fn again(left: Arc<AtomicU64>, done: Arc<Notify>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        match left.fetch_sub(1, Ordering::Relaxed) {
            1 => done.notify_one(),
            0 => left.store(0, Ordering::Relaxed),
            x if x > 1 << 60 => {}
            _ => {
                spawn(again(left, done));
            }
        }
    })
}

async fn call_soon(run: &mut Run, chains: u64) {
    let left = Arc::new(AtomicU64::new(run.n));
    let done = Arc::new(Notify::new());
    run.start();
    for _ in 0..chains {
        spawn(again(left.clone(), done.clone()));
    }
    done.notified().await;
    run.stop(run.n);
}

async fn call_soon_threadsafe(run: &mut Run) {
    let handle = tokio::runtime::Handle::current();
    let received = Arc::new(AtomicU64::new(0));
    let done = Arc::new(Notify::new());
    let n = run.n;
    run.start();
    let poster = {
        let done = done.clone();
        std::thread::spawn(move || {
            for _ in 0..n {
                let (received, done) = (received.clone(), done.clone());
                handle.spawn(async move {
                    if received.fetch_add(1, Ordering::Relaxed) + 1 == n {
                        done.notify_one();
                    }
                });
            }
        })
    };
    done.notified().await;
    run.stop(n);
    poster.join().unwrap();
}

async fn wake_latency(run: &mut Run) {
    let handle = tokio::runtime::Handle::current();
    let each = Arc::new(StdMutex::new(Vec::new()));
    let done = Arc::new(Notify::new());
    let n = run.n;
    run.start();
    let poster = {
        let (each, done) = (each.clone(), done.clone());
        std::thread::spawn(move || {
            for _ in 0..n {
                std::thread::sleep(Duration::from_micros(200));
                let (each, done) = (each.clone(), done.clone());
                let sent = Instant::now();
                handle.spawn(async move {
                    let mut each = each.lock().unwrap();
                    each.push(sent.elapsed().as_nanos() as u64);
                    if each.len() as u64 == n {
                        done.notify_one();
                    }
                });
            }
        })
    };
    done.notified().await;
    run.stop(n);
    poster.join().unwrap();
    let each = each.lock().unwrap().clone();
    run.latencies(each);
}

async fn to_thread(run: &mut Run) {
    let mut sum = tokio::task::spawn_blocking(one).await.unwrap();
    run.start();
    for _ in 0..run.n {
        sum += tokio::task::spawn_blocking(one).await.unwrap();
    }
    run.stop(run.n);
    black_box(sum);
}

async fn to_thread_10k(run: &mut Run) {
    let at_once = run.n.min(10_000);
    let mut sum = 0;
    run.start();
    for _ in 0..run.n / at_once {
        let tasks: Vec<_> = (0..at_once).map(|_| tokio::task::spawn_blocking(one)).collect();
        for t in tasks {
            sum += t.await.unwrap();
        }
    }
    run.stop(run.n / at_once * at_once);
    black_box(sum);
}

fn count(n: u64) -> impl Stream<Item = u64> {
    async_stream::stream! {
        for i in 0..n {
            yield i;
        }
    }
}

fn count_yielding(n: u64) -> impl Stream<Item = u64> {
    async_stream::stream! {
        for i in 0..n {
            yield_now().await;
            yield i;
        }
    }
}

async fn consume(run: &mut Run, items: impl Stream<Item = u64>) {
    let mut sum = 0;
    run.start();
    tokio::pin!(items);
    while let Some(i) = items.next().await {
        sum += i;
    }
    run.stop(run.n);
    black_box(sum);
}

async fn cancel(run: &mut Run) {
    run.start();
    for _ in 0..run.n {
        let task = spawn(sleep(Duration::from_secs(3600)));
        yield_now().await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
    run.stop(run.n);
}

const NAMES: &str = "await_chain await_depth spawn_join gather yield_2 yield_1000 timers sleepers \
    timer_cancel wait_for queue_1 queue_1024 lock lock_handoff event_pingpong hand_over call_soon \
    call_soon_1000 call_soon_threadsafe wake_latency to_thread to_thread_10k async_gen \
    async_gen_yield cancel";

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let name = args.get(1).map(String::as_str).unwrap_or("--list").to_owned();
    if name == "--list" {
        NAMES.split_whitespace().for_each(|n| println!("{n}"));
        return;
    }
    let n = args.get(2).map_or(1_000_000, |a| a.parse().unwrap());
    let run = Run { n, wall: Instant::now(), cpu: 0, figures: vec![] };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .build()
        .unwrap();
    // In a task of its own, so that the body is scheduled like every other task.
    let workload = name.clone();
    let body = async move {
        let mut run = run;
        let r = &mut run;
        match workload.as_str() {
            "await_chain" => await_chain(r).await,
            "await_depth" => await_depth(r).await,
            "spawn_join" => spawn_join(r).await,
            "gather" => gather(r).await,
            "yield_2" => yield_tasks(r, 2).await,
            "yield_1000" => yield_tasks(r, 1000).await,
            "timers" => timers(r).await,
            "sleepers" => sleepers(r).await,
            "timer_cancel" => timer_cancel(r).await,
            "wait_for" => wait_for(r).await,
            "queue_1" => queue(r, 1).await,
            "queue_1024" => queue(r, 1024).await,
            "lock" => lock(r).await,
            "lock_handoff" => lock_handoff(r).await,
            "event_pingpong" => event_pingpong(r).await,
            "hand_over" => hand_over(r).await,
            "call_soon" => call_soon(r, 1).await,
            "call_soon_1000" => call_soon(r, 1000).await,
            "call_soon_threadsafe" => call_soon_threadsafe(r).await,
            "wake_latency" => wake_latency(r).await,
            "to_thread" => to_thread(r).await,
            "to_thread_10k" => to_thread_10k(r).await,
            "async_gen" => consume(r, count(n)).await,
            "async_gen_yield" => consume(r, count_yielding(n)).await,
            "cancel" => cancel(r).await,
            _ => std::process::exit(3),
        }
        run
    };
    let run = runtime.block_on(async { spawn(body).await.unwrap() });
    print!("{{\"peer\": \"tokio\", \"workload\": \"{name}\"");
    run.figures.iter().for_each(|(key, value)| print!(", \"{key}\": {value:.2}"));
    println!("}}");
    std::process::exit(0);
}
