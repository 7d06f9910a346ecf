// out[m, r, q] = Σ_k x[m, r, k] b[m, k, q] for r < rows, q < columns, k < inner, or += where `accumulate` is 1.
//
// Terms are summed in blocks of at most 512, and each block's sum is added to what is there: the error does not grow with the
// inner length, and no second set of sums stays in registers.
//
// TILED:     a workgroup's 8 × 8 threads compute 8·ROWS × 8·COLUMNS numbers from slices of x and b, DEPTH terms
//            deep, in shared memory.
// otherwise: each thread computes ROWS × COLUMNS numbers on its own, without shared memory: for devices on which
//            barriers are dear, for matrices smaller than a tile, and for one row per matrix (1 × 1).

const BLOCK = 512u;

struct Tile {
    matrix: u32,
    // In units of tiles.
    row: u32,
    column: u32,
}

// Adds a block's sum to out[matrix, row, q]; the first block starts it unless it accumulates.
fn add(matrix: u32, row: u32, q: u32, start: u32, value: real) {
    let at = at_out(matrix, row, q);
    var sum = value;
    if (start > 0u) | (params.accumulate == 1u) {
        sum += out[at];
    }
    out[at] = sum;
}

fn tile_of(number: u32) -> Tile {
    let row = number / params.column_tiles;
    return Tile(row / params.row_tiles, row % params.row_tiles, number % params.column_tiles);
}

#if TILED
// Slices as DEPTH lines of 4 rows or columns together; the vector that ends a line keeps the stores of a line's
// neighbours in different banks of shared memory.
const X_LINE = $ROWS * 2u + 1u;
const B_LINE = $COLUMNS * 2u + 1u;

var<workgroup> x_slice: array<vec4<real>, $DEPTH * X_LINE>;
var<workgroup> b_slice: array<vec4<real>, $DEPTH * B_LINE>;

fn x_or_zero(matrix: u32, row: u32, k: u32) -> real {
    var number = real(0);
    if (row < params.rows) & (k < params.inner) {
        number = x[at_x(matrix, row, k)];
    }
    return number;
}

fn b_or_zero(matrix: u32, k: u32, q: u32) -> real {
    var number = real(0);
    if (k < params.inner) & (q < params.columns) {
        number = b[at_b(matrix, k, q)];
    }
    return number;
}

fn work(group: u32, lane: u32) {
    let tile = tile_of(group);
    let first_row = tile.row * $ROWS * 8u;
    let first_column = tile.column * $COLUMNS * 8u;
    let ty = lane / 8u;
    let tx = lane % 8u;
    var start = 0u;
    loop {
        let end = min(start + BLOCK, params.inner);
        #for h in 0..$ROW_VECTORS
        #for i in 0..4
        #for g in 0..$COLUMN_VECTORS
        var sum_${h}_${i}_$g = vec4<real>();
        #end
        #end
        #end
        for (var k = start; k < end; k += $DEPTH) {
            #for load in 0..$X_LOADS
            {
                let item = lane + ${load}u * 64u;
                let depth = item % $DEPTH;
                let four = item / $DEPTH;
                let row = first_row + four * 4u;
                x_slice[depth * X_LINE + four] = vec4<real>(
                    x_or_zero(tile.matrix, row, k + depth),
                    x_or_zero(tile.matrix, row + 1u, k + depth),
                    x_or_zero(tile.matrix, row + 2u, k + depth),
                    x_or_zero(tile.matrix, row + 3u, k + depth),
                );
            }
            #end
            #for load in 0..$B_LOADS
            {
                let item = lane + ${load}u * 64u;
                // Neighbouring threads read neighbouring numbers.
                #if ALONG_INNER
                let depth = item % $DEPTH;
                let four = item / $DEPTH;
                #else
                let depth = item / ($COLUMNS * 2u);
                let four = item % ($COLUMNS * 2u);
                #end
                let q = first_column + four * 4u;
                b_slice[depth * B_LINE + four] = vec4<real>(
                    b_or_zero(tile.matrix, k + depth, q),
                    b_or_zero(tile.matrix, k + depth, q + 1u),
                    b_or_zero(tile.matrix, k + depth, q + 2u),
                    b_or_zero(tile.matrix, k + depth, q + 3u),
                );
            }
            #end
            workgroupBarrier();
            #for depth in 0..$DEPTH
            {
                #for h in 0..$ROW_VECTORS
                let x_$h = x_slice[$depth * X_LINE + ${h}u * 8u + ty];
                #end
                #for g in 0..$COLUMN_VECTORS
                let b_$g = b_slice[$depth * B_LINE + ${g}u * 8u + tx];
                #end
                #for h in 0..$ROW_VECTORS
                #for i in 0..4
                #for g in 0..$COLUMN_VECTORS
                sum_${h}_${i}_$g += x_$h[$i] * b_$g;
                #end
                #end
                #end
            }
            #end
            workgroupBarrier();
        }
        #for h in 0..$ROW_VECTORS
        #for i in 0..4
        {
            let row = first_row + ${h}u * 32u + ty * 4u + ${i}u;
            #for g in 0..$COLUMN_VECTORS
            #for j in 0..4
            {
                let q = first_column + ${g}u * 32u + tx * 4u + ${j}u;
                if (row < params.rows) & (q < params.columns) {
                    add(tile.matrix, row, q, start, sum_${h}_${i}_$g[$j]);
                }
            }
            #end
            #end
        }
        #end
        #end
        start = end;
        if start >= params.inner {
            break;
        }
    }
}
#else
fn work(group: u32, lane: u32) {
    let tile = tile_of(group * 64u + lane);
    // Items past the last tile fall past the last matrix.
    if tile.matrix >= params.matrices {
        return;
    }
    // A tile that hangs over the edge computes its last row or column again and does not store it.
    #for i in 0..$ROWS
    let row_$i = tile.row * ${ROWS}u + ${i}u;
    let x_$i = at_x(tile.matrix, min(row_$i, params.rows - 1u), 0u);
    #end
    #for j in 0..$COLUMNS
    let q_$j = tile.column * ${COLUMNS}u + ${j}u;
    let b_$j = at_b(tile.matrix, 0u, min(q_$j, params.columns - 1u));
    #end
    var start = 0u;
    loop {
        let end = min(start + BLOCK, params.inner);
        #for i in 0..$ROWS
        #for j in 0..$COLUMNS
        var sum_${i}_$j = real(0);
        #end
        #end
        for (var k = start; k < end; k += 1u) {
            #for i in 0..$ROWS
            let left_$i = x[x_$i + k * params.x_c];
            #end
            #for j in 0..$COLUMNS
            let right_$j = b[b_$j + k * params.b_r];
            #end
            #for i in 0..$ROWS
            #for j in 0..$COLUMNS
            sum_${i}_$j += left_$i * right_$j;
            #end
            #end
        }
        #for i in 0..$ROWS
        if row_$i < params.rows {
            #for j in 0..$COLUMNS
            if q_$j < params.columns {
                add(tile.matrix, row_$i, q_$j, start, sum_${i}_$j);
            }
            #end
        }
        #end
        start = end;
        if start >= params.inner {
            break;
        }
    }
}
#end
