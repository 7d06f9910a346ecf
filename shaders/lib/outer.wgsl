// acc[m, n] = sum_i left[i, m] right[i, n], the blocked matrix product of one workgroup of 64 threads.
//
// The including file gives `left(i, m)` and `right(i, n)`: four neighbouring columns each of sample i, from tile column m or n on
// (zero where there is nothing), and `store(...)` for four neighbouring columns of the result.
// Tile: 32 GM × 32 GN. Thread (y, x) of 8 × 8 has GM × GN groups of 4 × 4; group g of a thread starts at column 32 g + 4 y: a thread's
// groups lie half a tile apart, so that the vector loads of neighbouring threads touch neighbouring banks.
// DEPTH samples are staged at a time.
const DEPTH = 8u * ${PASSES}u;

var<workgroup> lefts: array<vec4<real>, 64u * ${PASSES}u * ${GM}u>;
var<workgroup> rights: array<vec4<real>, 64u * ${PASSES}u * ${GN}u>;

fn outer(split: u32, lid: u32) {
    let y = lid / 8u;
    let x = lid % 8u;
    let begin = split * params.run;
    let end = min(begin + params.run, params.n);
    for (var block = begin; block < end; block += BLOCK) {
        let last = min(block + BLOCK, end);
#for g in 0..$GM
#for i in 0..4
#for h in 0..$GN
        var acc_${g}_${i}_${h} = vec4<real>();
#end
#end
#end
        for (var at = block; at < last; at += DEPTH) {
#for p in 0..$PASSES
#for g in 0..$GM
            {
                let slot = lid + 64u * (${GM}u * ${p}u + ${g}u);
                let i = at + slot / (8u * ${GM}u);
                var v = vec4<real>();
                if i < last {
                    v = left(i, slot % (8u * ${GM}u) * 4u);
                }
                lefts[slot] = v;
            }
#end
#for h in 0..$GN
            {
                let slot = lid + 64u * (${GN}u * ${p}u + ${h}u);
                let i = at + slot / (8u * ${GN}u);
                var v = vec4<real>();
                if i < last {
                    v = right(i, slot % (8u * ${GN}u) * 4u);
                }
                rights[slot] = v;
            }
#end
#end
            workgroupBarrier();
#for p in 0..$PASSES
#for k in 0..8
            {
#for g in 0..$GM
                let l$g = lefts[((${p}u * 8u + ${k}u) * ${GM}u + ${g}u) * 8u + y];
#end
#for h in 0..$GN
                let r$h = rights[((${p}u * 8u + ${k}u) * ${GN}u + ${h}u) * 8u + x];
#end
#for g in 0..$GM
#for i in 0..4
#for h in 0..$GN
                acc_${g}_${i}_${h} += l$g[$i] * r$h;
#end
#end
#end
            }
#end
#end
            workgroupBarrier();
        }
        let fresh = block == begin;
#for g in 0..$GM
#for i in 0..4
#for h in 0..$GN
        store(split, ${g}u * 32u + y * 4u + ${i}u, ${h}u * 32u + x * 4u, fresh, acc_${g}_${i}_${h});
#end
#end
#end
    }
}
