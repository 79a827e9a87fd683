/* Threads that help with the steps of a call. They sleep between calls and spin within one, for a bounded time.
   Nobody waits for a helper that has not come: a step is divided among those who are there. */
#ifndef TAUT_POOL
#define TAUT_POOL
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

enum { ASLEEP, READY, BUSY };
#define MOST_SPINS 20000
#define MOST_HELPERS 63

struct taut_call {
  char *arena;
  const char *weights;
  void *const *inputs;
  void *const *outputs;
};
static void taut_step(const struct taut_call *call, long number, long part, long parts);

/* The owner offers work by READY -> BUSY; the helper answers by BUSY -> READY. Either may end by READY -> ASLEEP. */
struct taut_helper {
  int state;
  long number, part, parts;
  const struct taut_call *call;
  struct taut_pool *pool;
  pthread_t thread;
} __attribute__((aligned(128)));

struct taut_pool {
  pthread_mutex_t lock;
  pthread_cond_t wake;
  long calls;
  int is_calling, is_closing, helpers;
  struct taut_helper helper[];
};

/* Wait a moment; after many in a row the core goes to whoever else wants it, perhaps the one who is waited for. */
static inline void taut_pause(int spins) {
  if (spins % 1024 == 1023) sched_yield();
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static inline int taut_swap(int *state, int from, int to) {
  return __atomic_compare_exchange_n(state, &from, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* Help with one call after the other until there is nothing to do for a while. */
static void taut_help(struct taut_helper *me) {
  do {
    for (int spins = 0; spins < MOST_SPINS; spins++) {
      int state = __atomic_load_n(&me->state, __ATOMIC_ACQUIRE);
      if (state == ASLEEP) return;
      if (state == BUSY) {
        taut_step(me->call, me->number, me->part, me->parts);
        __atomic_store_n(&me->state, READY, __ATOMIC_RELEASE);
        spins = 0;
      }
      taut_pause(spins);
    }
  } while (!taut_swap(&me->state, READY, ASLEEP));
}

static void *taut_helper_thread(void *given) {
  struct taut_helper *me = given;
  struct taut_pool *pool = me->pool;
  long seen = 0;
  for (;;) {
    pthread_mutex_lock(&pool->lock);
    while (!pool->is_closing && (pool->calls == seen || !pool->is_calling)) pthread_cond_wait(&pool->wake, &pool->lock);
    int is_closing = pool->is_closing;
    seen = pool->calls;
    if (!is_closing) __atomic_store_n(&me->state, READY, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&pool->lock);
    if (is_closing) return NULL;
    taut_help(me);
  }
}

/* A pool for so many threads, the caller's among them; NULL where none can be started. */
struct taut_pool *taut_open(int threads) {
  int helpers = threads - 1 < MOST_HELPERS ? threads - 1 : MOST_HELPERS;
  size_t size = sizeof(struct taut_pool) + helpers * sizeof(struct taut_helper);
  struct taut_pool *pool = aligned_alloc(128, (size + 127) / 128 * 128);
  if (!pool) return NULL;
  memset(pool, 0, size);
  pthread_mutex_init(&pool->lock, NULL);
  pthread_cond_init(&pool->wake, NULL);
  for (int i = 0; i < helpers; i++) {
    struct taut_helper *helper = &pool->helper[i];
    helper->pool = pool;
    if (pthread_create(&helper->thread, NULL, taut_helper_thread, helper)) break;
    pool->helpers++;
  }
  return pool;
}

void taut_close(struct taut_pool *pool) {
  if (!pool) return;
  pthread_mutex_lock(&pool->lock);
  pool->is_closing = 1;
  pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->lock);
  for (int i = 0; i < pool->helpers; i++) pthread_join(pool->helper[i].thread, NULL);
  free(pool);
}

static void taut_set_calling(struct taut_pool *pool, int is_calling) {
  pthread_mutex_lock(&pool->lock);
  pool->is_calling = is_calling;
  if (is_calling) {
    pool->calls++;
    pthread_cond_broadcast(&pool->wake);
  }
  pthread_mutex_unlock(&pool->lock);
}

static void taut_begin(struct taut_pool *pool) {
  if (!pool || !pool->helpers) return;
  taut_set_calling(pool, 1);
#ifdef TAUT_MUSTER
  /* Where all steps are long, to begin without helpers costs more than to wait until they are awake. */
  for (int i = 0; i < pool->helpers; i++)
    for (int spins = 0; spins < MOST_SPINS && __atomic_load_n(&pool->helper[i].state, __ATOMIC_ACQUIRE) == ASLEEP; spins++)
      taut_pause(spins & 1023);
#endif
}

static void taut_end(struct taut_pool *pool) {
  if (!pool || !pool->helpers) return;
  taut_set_calling(pool, 0);
  for (int i = 0; i < pool->helpers; i++) taut_swap(&pool->helper[i].state, READY, ASLEEP);
}

/* Divide a step among the caller and the helpers that have come; what a helper no longer takes the caller does. */
static void taut_divide(struct taut_pool *pool, const struct taut_call *call, long number) {
  struct taut_helper *there[MOST_HELPERS];
  long count = 0;
  for (int i = 0; pool && i < pool->helpers; i++)
    if (__atomic_load_n(&pool->helper[i].state, __ATOMIC_ACQUIRE) == READY) there[count++] = &pool->helper[i];
  for (long i = 0; i < count; i++) {
    there[i]->call = call;
    there[i]->number = number;
    there[i]->part = i + 1;
    there[i]->parts = count + 1;
    if (!taut_swap(&there[i]->state, READY, BUSY)) there[i] = NULL;
  }
  for (long i = 0; i <= count; i++)
    if (i == 0 || !there[i - 1]) taut_step(call, number, i, count + 1);
  /* A helper that is done long before may have fallen asleep meanwhile. */
  for (long i = 0; i < count; i++)
    for (int spins = 0; there[i] && __atomic_load_n(&there[i]->state, __ATOMIC_ACQUIRE) == BUSY; spins++)
      taut_pause(spins & 1023);
}
#endif
