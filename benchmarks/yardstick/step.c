/* One step of every community of community-5, in C: what a compiler makes of the same equations written by hand.
 *
 * Vectors hold the same quantity of V communities; a step goes through the communities V at a time and keeps what is
 * between reading and writing in registers and the first-level cache. Sizes are constants given on the command line
 * (-DN=…): N prosumers, K link slots, W forecast windows, BUSES, BRANCHES, NODES, SERIES, ITERATIONS. Every community
 * has all prosumers connected and each at a bus of its own; arrays are feature-major, [rows][B] float32 or int32,
 * B a multiple of V. Letters, signs and formulas are those of the description of the step. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#if defined(__AVX__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define V 16
#elif defined(__AVX__)
#define V 8
#else
#define V 4
#endif
typedef float vf __attribute__((vector_size(4 * V)));
typedef int32_t vi __attribute__((vector_size(4 * V)));
typedef float vf_anywhere __attribute__((vector_size(4 * V), aligned(4), may_alias));
typedef int32_t vi_anywhere __attribute__((vector_size(4 * V), aligned(4), may_alias));

#define PRICES (2 + 2 * W)
#define TIME (PRICES + 5)
#define ROW (1 + W)
#define R (NODES + SERIES + 2)
#define LIMIT 10.0f
#define PAST_CACHES 2048 /* communities, from which results leave the second-level cache before anyone reads them */
#define EPSILON 1e-6f
#define SQUARE_EPSILON 1e-12f

typedef struct {
    /* prosumers, [N] or [K][N] */
    const float *capacity, *charge, *discharge, *shift, *charge_efficiency, *discharge_efficiency, *soc_min, *soc_max;
    const float *soc_low, *soc_high, *trade, *link, *demand_scale, *generation_scale;
    const int32_t *partner, *neighbour, *used, *bus;
    /* profiles */
    const float *demand_rows, *generation_rows, *time_rows; /* [C·stride][ROW], [stride][TIME] */
    const int32_t *starts, *demand_pool, *generation_pool;  /* [S], [P][N], [Q][N] */
    const int32_t *group;                                   /* [N] prosumers who draw one demand row together */
    /* network: w − z·I, complex parts */
    const float *w_re, *w_im, *z_re, *z_im;                 /* [N], [N][N] */
    const float *w_out_re, *w_out_im, *z_out_re, *z_out_im; /* [R], [R][N] */
    const float *loss_weight, *per_rating;                  /* [NODES + SERIES], [SERIES] */
    const int32_t *first_row, *second_row;                  /* [BRANCHES] */
    const float *reward_weights, *stability_weights;        /* [4] */
    const float *scalars;
    const int32_t *counts;
} World;

enum { STEP_H, BAND, PENALTY, LOST_LOAD, PRICE_SCALE, PRICE_LEVEL, REACTIVE, V_FLOOR, TOLERANCE, V0, DEMAND_JITTER,
       GENERATION_JITTER };
enum { EPISODE_STEPS, LENGTH, STRIDE, STARTS, DEMAND_POOL, GENERATION_POOL };

typedef struct {
    float *soc, *demand, *generation, *import_price, *export_price, *co2, *stability, *voltage;
    int32_t *step, *episode, *row, *key, *clamped, *nonfinite;
    int32_t *demand_column, *generation_column; /* [N][B] of the running episode */
    float *demand_factor, *generation_factor;   /* [N][B] kW a unit of the column */
} State;

typedef struct { /* obs, reward and truncated are always written; the others where obs_only is 0 */
    float *obs, *reward;
    float *reward_stability, *efficiency, *minus_cost, *cooperation;
    float *bought, *sold, *received, *sent, *charge, *discharge, *transfers, *imbalance, *soc, *cost, *transfer_cost;
    float *loss_share, *stability, *parts, *voltage, *loading, *loss, *slack;
    uint8_t *truncated, *converged;
} Result;

static inline vf all(float x) { return x - (vf){}; }
static inline vf load(const float *p) { return *(const vf_anywhere *)p; }
static inline void store(float *p, vf x) { *(vf_anywhere *)p = x; }
static inline vf pick(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }
/* Results nobody reads soon go past the caches where there are many of them: an ordinary store reads its line first. */
static inline void put(float *p, vf x, int past) {
#if defined(__AVX512F__)
    if (past) { _mm512_stream_ps(p, (__m512)x); return; }
#elif defined(__AVX__)
    if (past) { _mm256_stream_ps(p, (__m256)x); return; }
#endif
    (void)past;
    store(p, x);
}
#if defined(__AVX512F__)
static inline vf least(vf a, vf b) { return (vf)_mm512_min_ps((__m512)a, (__m512)b); }
static inline vf most(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
static inline vf root(vf a) { return (vf)_mm512_sqrt_ps((__m512)a); }
#elif defined(__AVX__)
static inline vf least(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
static inline vf most(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
static inline vf root(vf a) { return (vf)_mm256_sqrt_ps((__m256)a); }
#else
static inline vf least(vf a, vf b) { return pick(a < b, a, b); }
static inline vf most(vf a, vf b) { return pick(a > b, a, b); }
static inline vf root(vf a) { for (int l = 0; l < V; l++) a[l] = sqrtf(a[l]); return a; }
#endif
static inline vf clamp(vf x, vf low, vf high) { return least(most(x, low), high); }
static inline vf positive(vf x) { return most(x, all(0)); }
static inline vf size(vf x) { return most(x, -x); }

/* Random numbers by counter. */
static inline uint32_t mix(uint32_t h) {
    h ^= h >> 16; h *= 0x7FEB352Du; h ^= h >> 15; h *= 0x846CA68Bu;
    return h ^ (h >> 16);
}
static inline uint32_t combine(uint32_t key, uint32_t counter) { return mix(key ^ (counter * 0x9E3779B9u)); }
static inline float uniform(uint32_t key, uint32_t stream, uint32_t row) {
    return (float)(combine(key, row + (stream << 20)) >> 8) * (1.0f / (1 << 24));
}
static inline int32_t whole(float u, int32_t bound) {
    int32_t x = (int32_t)(u * (float)bound);
    return x < bound ? x : bound - 1;
}
enum { START = 2, DEMAND_COLUMN, GENERATION_COLUMN, INITIAL_SOC, DRAWN_DEMAND_JITTER, DRAWN_GENERATION_JITTER };

/* A new episode of community b: where in the data it begins, whose profiles it has, what the batteries hold. */
static void begin(const World *w, State *s, size_t B, size_t b) {
    const int32_t *c = w->counts;
    s->episode[b] += 1;
    s->step[b] = 0;
    uint32_t key = combine((uint32_t)s->key[b], (uint32_t)s->episode[b]);
    s->row[b] = w->starts[whole(uniform(key, START, 0), c[STARTS])];
    int32_t solar = whole(uniform(key, GENERATION_COLUMN, 0), c[GENERATION_POOL]) * N;
    for (int i = 0; i < N; i++) {
        size_t at = i * B + b;
        float fill = w->soc_low[i] + uniform(key, INITIAL_SOC, i) * (w->soc_high[i] - w->soc_low[i]);
        s->soc[at] = fill * w->capacity[i];
        s->demand_column[at] = w->demand_pool[whole(uniform(key, DEMAND_COLUMN, w->group[i]), c[DEMAND_POOL]) * N + i];
        s->generation_column[at] = w->generation_pool[solar + i];
        float dj = w->scalars[DEMAND_JITTER], gj = w->scalars[GENERATION_JITTER];
        s->demand_factor[at] =
            w->demand_scale[i] * (1 + dj * (2 * uniform(key, DRAWN_DEMAND_JITTER, i) - 1));
        s->generation_factor[at] =
            w->generation_scale[i] * (1 + gj * (2 * uniform(key, DRAWN_GENERATION_JITTER, i) - 1));
    }
}

/* Voltages, currents, losses of V communities that draw p, q (kW, kvar) at the prosumers' buses. */
static inline void power_flow(const World *w, const vf *p, const vf *q, vf *re, vf *im, vf *residual) {
    vf vr[N], vm[N], ir[N], ii[N];
    vf floor = all(w->scalars[V_FLOOR] * w->scalars[V_FLOOR]);
    for (int i = 0; i < N; i++) { vr[i] = all(w->w_re[i]); vm[i] = all(w->w_im[i]); }
    for (int iteration = 0; iteration <= ITERATIONS; iteration++) {
        for (int i = 0; i < N; i++) {
            vf per = 1 / most(vr[i] * vr[i] + vm[i] * vm[i], floor);
            vf a = p[i] * per, b = q[i] * per;
            ir[i] = a * vr[i] + b * vm[i];
            ii[i] = a * vm[i] - b * vr[i];
        }
        if (iteration == ITERATIONS) break;
        for (int i = 0; i < N; i++) {
            vf x = all(w->w_re[i]), y = all(w->w_im[i]);
            for (int j = 0; j < N; j++) {
                float zr = w->z_re[i * N + j], zi = w->z_im[i * N + j];
                x -= zr * ir[j] - zi * ii[j];
                y -= zr * ii[j] + zi * ir[j];
            }
            vr[i] = x; vm[i] = y;
        }
    }
    for (int r = 0; r < R; r++) {
        vf x = all(w->w_out_re[r]), y = all(w->w_out_im[r]);
        for (int j = 0; j < N; j++) {
            float zr = w->z_out_re[r * N + j], zi = w->z_out_im[r * N + j];
            x -= zr * ir[j] - zi * ii[j];
            y -= zr * ii[j] + zi * ir[j];
        }
        re[r] = x; im[r] = y;
    }
    *residual = all(0);
    for (int i = 0; i < N; i++) {
        *residual = most(*residual, size(re[w->bus[i]] - vr[i]));
        *residual = most(*residual, size(im[w->bus[i]] - vm[i]));
    }
}

/* Asks memory for the rows that `read` will want at the end of the step, unless an episode ends. */
static inline void fetch(const World *w, const State *s, size_t B, size_t b) {
    int32_t last = w->counts[LENGTH] - 1, stride = w->counts[STRIDE];
    for (int l = 0; l < V; l++) {
        size_t row = s->row[b + l] < last ? s->row[b + l] + 1 : last;
        __builtin_prefetch(w->time_rows + row * TIME);
        for (int i = 0; i < N; i++) {
            size_t at = i * B + b + l;
            __builtin_prefetch(w->demand_rows + ((size_t)s->demand_column[at] * stride + row) * ROW);
            __builtin_prefetch(w->generation_rows + ((size_t)s->generation_column[at] * stride + row) * ROW);
        }
    }
}

/* What a time brings to V communities from b on: their rows of the profiles, side by side. */
static inline void read(const World *w, const State *s, size_t B, size_t b, vf demand[N][ROW], vf generation[N][ROW],
                        vf time[TIME]) {
    int32_t last = w->counts[LENGTH] - 1, stride = w->counts[STRIDE], row[V];
    for (int l = 0; l < V; l++) {
        row[l] = s->row[b + l] < last ? s->row[b + l] : last;
        const float *t = w->time_rows + (size_t)row[l] * TIME;
        for (int f = 0; f < TIME; f++) time[f][l] = t[f];
    }
    for (int i = 0; i < N; i++) {
        size_t at = i * B + b;
        for (int l = 0; l < V; l++) {
            const float *d = w->demand_rows + ((size_t)s->demand_column[at + l] * stride + row[l]) * ROW;
            const float *g = w->generation_rows + ((size_t)s->generation_column[at + l] * stride + row[l]) * ROW;
            for (int f = 0; f < ROW; f++) { demand[i][f][l] = d[f]; generation[i][f][l] = g[f]; }
        }
        vf df = load(s->demand_factor + at), gf = load(s->generation_factor + at);
        for (int f = 0; f < ROW; f++) { demand[i][f] *= df; generation[i][f] *= gf; }
    }
}

static inline vf bounded(vf x) { return clamp(x, all(-LIMIT), all(LIMIT)); }

/* Reads the world at s->row into the state and writes observations [O][N][B]. */
static inline void observe(const World *w, State *s, float *obs, size_t B, size_t b, int past) {
    vf demand[N][ROW], generation[N][ROW], time[TIME], fill[N], net[N];
    read(w, s, B, b, demand, generation, time);
    float level = w->scalars[PRICE_LEVEL], per_price = 1 / w->scalars[PRICE_SCALE], per_band = 1 / w->scalars[BAND];
    for (int f = 0; f < PRICES; f++) time[f] *= level;
    store(s->import_price + b, time[0]);
    store(s->export_price + b, time[1]);
    store(s->co2 + b, time[PRICES + 4]);
    for (int f = 0; f < PRICES; f++) time[f] = bounded(time[f] * per_price);
    vf stability = load(s->stability + b), ahead[W];
    float total = 0;
    for (int f = 0; f < W; f++) ahead[f] = all(0);
    for (int i = 0; i < N; i++) {
        float trade = w->trade[i] > 1 ? w->trade[i] : 1;
        total += trade;
        store(s->demand + i * B + b, demand[i][0]);
        store(s->generation + i * B + b, generation[i][0]);
        fill[i] = load(s->soc + i * B + b) / most(all(w->capacity[i]), all(1e-6f));
        net[i] = bounded((generation[i][0] - demand[i][0]) * (1 / trade));
        for (int f = 0; f < W; f++) ahead[f] += generation[i][1 + f] - demand[i][1 + f];
    }
    for (int i = 0; i < N; i++) {
        float *to = obs + i * B + b, scale = 1 / (w->trade[i] > 1 ? w->trade[i] : 1);
        size_t next = N * B;
        put(to, fill[i], past); to += next;
        put(to, bounded(demand[i][0] * scale), past); to += next;
        put(to, bounded(generation[i][0] * scale), past); to += next;
        put(to, stability, past); to += next;
        put(to, all(1), past); to += next; /* connected */
        put(to, all(1), past); to += next; /* energised */
        for (int f = 0; f < PRICES; f++, to += next) put(to, time[f], past);
        for (int f = 0; f < 4; f++, to += next) put(to, time[PRICES + f], past);
        put(to, bounded((load(s->voltage + i * B + b) - 1) * per_band), past); to += next;
        for (int k = 0; k < K; k++, to += next)
            put(to, w->used[k * N + i] ? fill[w->neighbour[k * N + i]] : all(0), past);
        for (int k = 0; k < K; k++, to += next)
            put(to, w->used[k * N + i] ? net[w->neighbour[k * N + i]] : all(0), past);
        for (int f = 0; f < W; f++, to += next)
            put(to, bounded((generation[i][1 + f] - demand[i][1 + f]) * scale), past);
        for (int f = 0; f < W; f++, to += next) put(to, bounded(ahead[f] * (1 / total)), past);
    }
}

static void step_block(const World *w, State *s, const float *action, Result *out, size_t B, size_t b, int obs_only, int past) {
    const float *c = w->scalars;
    float h = c[STEP_H];
    fetch(w, s, B, b);
    vf a[K + 1][N], wish[K * N], flow[K * N];
    vi clamped = {}, nonfinite = {};
    for (int i = 0; i < N; i++)
        for (int k = 0; k <= K; k++) {
            vf x;
            for (int l = 0; l < V; l++) x[l] = action[((b + l) * N + i) * (K + 1) + k];
            vi finite = (x - x) == (x - x); /* NaN − NaN and ∞ − ∞ are no numbers */
            nonfinite -= ~finite;
            x = pick(finite, x, all(0));
            clamped -= size(x) > 1;
            a[k][i] = clamp(x, all(-1), all(1));
        }
    *(vi_anywhere *)(s->clamped + b) += clamped;
    *(vi_anywhere *)(s->nonfinite + b) += nonfinite;

    /* transfers by consent */
    for (int k = 0; k < K; k++)
        for (int i = 0; i < N; i++) wish[k * N + i] = a[k][i] * w->link[k * N + i];
    for (int j = 0; j < K * N; j++) {
        vf mine = wish[j], theirs = wish[w->partner[j]];
        flow[j] = least(positive(mine), positive(-theirs)) - least(positive(-mine), positive(theirs));
    }
    /* trade, battery, imbalance */
    vf imports = load(s->import_price + b), exports = load(s->export_price + b), value = positive(imports);
    vf p[N], q[N], injection[N], imbalance[N], order[N], charge[N], discharge[N], received[N], sent[N], dischargeable[N];
    vf fill = all(0), turned_over = all(EPSILON), unbalanced = all(0), flowing = all(0);
    for (int i = 0; i < N; i++) {
        size_t at = i * B + b;
        vf d = load(s->demand + at), g = load(s->generation + at), soc = load(s->soc + at);
        vf chargeable = least(positive(w->soc_max[i] - soc) / (w->charge_efficiency[i] * h), all(w->charge[i]));
        dischargeable[i] =
            least(positive(soc - w->soc_min[i]) * w->discharge_efficiency[i] / h, all(w->discharge[i]));
        received[i] = sent[i] = all(0);
        vf residual = all(0);
        for (int k = 0; k < K; k++) {
            vf y = flow[k * N + i];
            residual += y;
            received[i] += positive(y);
            sent[i] += positive(-y);
        }
        vf net_received = residual;
        residual = g - d + residual;
        vf follow = clamp(residual, -dischargeable[i], chargeable);
        vf battery = clamp(follow + a[K][i] * w->shift[i], -dischargeable[i], chargeable);
        order[i] = clamp(battery - residual, all(-w->trade[i]), all(w->trade[i]));
        vf wanted = residual + order[i];
        charge[i] = least(positive(wanted), chargeable);
        discharge[i] = least(positive(-wanted), dischargeable[i]);
        imbalance[i] = wanted - (charge[i] - discharge[i]);
        soc = soc + (charge[i] * w->charge_efficiency[i] - discharge[i] / w->discharge_efficiency[i]) * h;
        soc = clamp(soc, all(w->soc_min[i]), all(w->soc_max[i]));
        store(s->soc + at, soc);
        injection[i] = imbalance[i] - order[i] - net_received;
        flowing += size(injection[i]);
        p[i] = -injection[i];
        q[i] = d * c[REACTIVE];
        vf f = soc / w->capacity[i];
        fill += clamp(least(f, 1 - f) / 0.1f, all(0), all(1));
        turned_over += d + g;
        unbalanced += size(imbalance[i]);
    }
    /* network */
    vf re[R], im[R], residual, loss = all(0), lowest = all(1e9f), deviation = all(0), highest = all(0);
    power_flow(w, p, q, re, im, &residual);
    for (int r = 0; r < NODES + SERIES; r++) {
        re[r] = re[r] * re[r] + im[r] * im[r];
        loss += w->loss_weight[r] * re[r];
    }
    for (int r = 0; r < BUSES; r++) {
        re[r] = root(re[r] + SQUARE_EPSILON);
        lowest = least(lowest, re[r]);
        deviation += clamp(size(re[r] - 1) / c[BAND], all(0), all(1));
    }
    vf *amp = re + NODES, load_of[BRANCHES];
    for (int e = 0; e < SERIES; e++) amp[e] = root(amp[e] + SQUARE_EPSILON) * w->per_rating[e];
    for (int e = 0; e < BRANCHES; e++) {
        load_of[e] = most(amp[w->first_row[e]], amp[w->second_row[e]]);
        highest = most(highest, load_of[e]);
    }
    vi converged = (residual < c[TOLERANCE]) & (lowest > c[V_FLOOR]);
    vf slack = c[V0] * re[NODES + SERIES];
    loss = pick(converged, loss, least(loss, flowing));
    /* stability */
    vf solved = pick(converged, all(1), all(0)), parts[4];
    parts[0] = (1 - deviation / BUSES) * solved;
    parts[1] = (1 - clamp((highest - 0.8f) / 0.4f, all(0), all(1))) * solved;
    parts[2] = 1 - clamp(unbalanced / turned_over, all(0), all(1));
    parts[3] = fill / N;
    vf stability = all(0);
    for (int j = 0; j < 4; j++) stability += w->stability_weights[j] * parts[j];
    stability = least(stability, all(1));
    /* settlement, rewards */
    vf helped = all(0), given_of[N], given = all(0), all_sent = all(0);
    for (int i = 0; i < N; i++) {
        vf net = received[i] - sent[i], bought = positive(order[i]) + positive(-imbalance[i]);
        vf d = load(s->demand + i * B + b), g = load(s->generation + i * B + b);
        helped += least(positive(net), positive(d - g - dischargeable[i]));
        given_of[i] = positive(positive(-net) - bought);
        given += given_of[i];
        all_sent += positive(-net);
    }
    vi any = given > 0, moves = flowing > 0;
    vf part = clamp((helped - (all_sent - given)) / pick(any, given, all(1)), all(0), all(1));
    part = pick(any, part, all(0));
    vf per_flow = 1 / pick(moves, flowing, all(1));
    vf dear = most(imports, exports) + c[PENALTY], cheap = least(imports, exports) - c[PENALTY];
    for (int i = 0; i < N; i++) {
        size_t at = i * B + b;
        vf share = loss * pick(moves, size(injection[i]) * per_flow, all(1.0f / N));
        vf short_ = positive(-imbalance[i]), long_ = positive(imbalance[i]);
        vf transfer = (received[i] - sent[i]) * (0.5f * (imports + exports));
        vf cost = positive(order[i]) * imports - positive(-order[i]) * exports + short_ * dear - long_ * cheap;
        cost = (cost + transfer + share * value) * h;
        vf conversion = charge[i] * (1 - w->charge_efficiency[i]) + discharge[i] * (1 / w->discharge_efficiency[i] - 1);
        vf efficiency = -(share + conversion) * value * h, cooperation = given_of[i] * part * value * h;
        vf reward = w->reward_weights[0] * (stability - 1) + w->reward_weights[1] * efficiency
                    - w->reward_weights[2] * cost + w->reward_weights[3] * cooperation;
        put(out->reward + at, reward, past);
        if (obs_only) continue;
        put(out->reward_stability + at, stability - 1, past);
        put(out->efficiency + at, efficiency, past);
        put(out->minus_cost + at, -cost, past);
        put(out->cooperation + at, cooperation, past);
        put(out->bought + at, positive(order[i]) + short_, past);
        put(out->sold + at, positive(-order[i]) + long_, past);
        put(out->received + at, received[i], past);
        put(out->sent + at, sent[i], past);
        put(out->charge + at, charge[i], past);
        put(out->discharge + at, discharge[i], past);
        put(out->imbalance + at, imbalance[i], past);
        put(out->soc + at, load(s->soc + at), past);
        put(out->cost + at, cost, past);
        put(out->transfer_cost + at, transfer * h, past);
        put(out->loss_share + at, share, past);
    }
    if (!obs_only) {
        for (int j = 0; j < K * N; j++) put(out->transfers + j * B + b, flow[j], past);
        for (int j = 0; j < 4; j++) put(out->parts + j * B + b, parts[j], past);
        for (int r = 0; r < BUSES; r++) put(out->voltage + r * B + b, re[r], past);
        for (int e = 0; e < BRANCHES; e++) put(out->loading + e * B + b, load_of[e], past);
        put(out->stability + b, stability, past);
        put(out->loss + b, loss, past);
        put(out->slack + b, slack, past);
        for (int l = 0; l < V; l++) out->converged[b + l] = converged[l] != 0;
    }
    /* time moves on */
    store(s->stability + b, stability);
    for (int i = 0; i < N; i++) store(s->voltage + i * B + b, re[w->bus[i]]);
    for (int l = 0; l < V; l++) {
        int over = s->step[b + l] + 1 >= w->counts[EPISODE_STEPS];
        out->truncated[b + l] = (uint8_t)over;
        s->step[b + l] += 1;
        s->row[b + l] += 1;
        if (over) {
            begin(w, s, B, b + l);
            s->stability[b + l] = 1;
            for (int i = 0; i < N; i++) s->voltage[i * B + b + l] = 1;
        }
    }
    observe(w, s, out->obs, B, b, past);
}

/* One step of B communities, a multiple of `lanes()`; results aligned to 64 bytes; action [B][N][K + 1] in [−1, 1]. */
void step(const World *w, State *s, const float *action, Result *out, int64_t B, int32_t obs_only) {
    int past = B >= PAST_CACHES;
    for (int64_t b = 0; b < B; b += V) step_block(w, s, action, out, (size_t)B, (size_t)b, obs_only, past);
#if defined(__AVX__) || defined(__AVX512F__)
    if (past) _mm_sfence();
#endif
}

int32_t lanes(void) { return V; }
