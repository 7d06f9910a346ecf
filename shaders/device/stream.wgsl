// out[k] = source[k], eight numbers a thread, 64 apart: the rate of the memory.

fn work(group: u32, thread: u32) {
    let first = group * 512u + thread;
#for k in 0..8
    out[first + ${k}u * 64u] = source[first + ${k}u * 64u];
#end
}
