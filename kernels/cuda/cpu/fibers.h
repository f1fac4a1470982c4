// Runs a block's threads as fibers, each on a stack of its own.
#pragma once

#include "cuda.h"
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#else
// Nobody is told of switches.
inline void __sanitizer_start_switch_fiber(void**, const void*, size_t) {}
inline void __sanitizer_finish_switch_fiber(void*, const void**, size_t*) {}
#endif

extern unsigned char __start_shared_memory[], __stop_shared_memory[];

// Keeps the registers that a call has to keep on this stack, goes to another one, and takes its registers from there.
extern "C" void switch_stack(void** keep, void* go_to);
#if defined(__x86_64__)
asm(R"(
.text
switch_stack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
// What a new stack holds: registers, where to go, and a place that would be returned to.
constexpr size_t FRAME = 8, ENTRY = 6;
#elif defined(__aarch64__)
asm(R"(
.text
switch_stack:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
)");
constexpr size_t FRAME = 20, ENTRY = 11;
#else
#error "fibers switch stacks on x86-64 and aarch64"
#endif

namespace cuda {

dim3 thread_at, block_at, grid_size;

constexpr unsigned BLOCK_THREADS = 256, LANES = 32;
constexpr size_t STACK = 64 << 10;

[[noreturn]] inline void fail(const char* kernel, const char* what) {
    fprintf(stderr, "kernel %s, block %u,%u,%u: %s\n", kernel, block_at.x, block_at.y, block_at.z, what);
    exit(3);
}

// What a thread waits for.
enum class State { Ready, Block, Warp, Done };

struct Thread {
    void* kept;
    char* stack;
    State state;
    int line;
    // What it gave to its warp: two, since a lane may be one exchange ahead.
    unsigned given[2];
    unsigned exchanges;
    void* fake_stack;
};

struct Machine {
    std::vector<Thread> threads;
    // Of the scheduler, which runs on the program's own stack.
    void* kept;
    void* fake_stack;
    const void* stack;
    size_t stack_size;
    // The thread that runs, and what it runs.
    unsigned now;
    const char* kernel;
    std::function<void()> body;
};
static Machine machine;

// Back to the scheduler, until what it waits for has come. The sanitizer is told of each switch.
static void wait(State state, int line) {
    Thread& self = machine.threads[machine.now];
    self.state = state;
    self.line = line;
    __sanitizer_start_switch_fiber(&self.fake_stack, machine.stack, machine.stack_size);
    switch_stack(&self.kept, machine.kept);
    __sanitizer_finish_switch_fiber(self.fake_stack, &machine.stack, &machine.stack_size);
}

// A fiber begins here, and takes part in one block after another.
static void live() {
    __sanitizer_finish_switch_fiber(nullptr, &machine.stack, &machine.stack_size);
    for (;;) {
        machine.body();
        wait(State::Done, 0);
    }
}

static void resume(unsigned index) {
    Thread& thread = machine.threads[index];
    machine.now = index;
    thread_at = {index, 0, 0};
    __sanitizer_start_switch_fiber(&machine.fake_stack, thread.stack, STACK);
    switch_stack(&machine.kept, thread.kept);
    __sanitizer_finish_switch_fiber(machine.fake_stack, nullptr, nullptr);
}

static void make_threads() {
    machine.threads.resize(BLOCK_THREADS);
    for (Thread& thread : machine.threads) {
        thread.stack = (char*)aligned_alloc(16, STACK);
        void** frame = (void**)(thread.stack + STACK) - FRAME;
        memset(frame, 0, FRAME * sizeof(void*));
        frame[ENTRY] = (void*)live;
        thread.kept = frame;
    }
}

void wait_for_block(int line) { wait(State::Block, line); }

static unsigned first_of_warp() { return machine.now / LANES * LANES; }

unsigned exchange(unsigned mask, unsigned value, unsigned from_lane, int line) {
    if (mask != 0xffffffff) fail(machine.kernel, "an exchange within a part of a warp");
    Thread& self = machine.threads[machine.now];
    unsigned turn = self.exchanges++ % 2;
    self.given[turn] = value;
    wait(State::Warp, line);
    return machine.threads[first_of_warp() + from_lane % LANES].given[turn];
}

unsigned ballot(unsigned mask, bool condition, int line) {
    unsigned turn = machine.threads[machine.now].exchanges % 2, votes = 0;
    exchange(mask, condition, 0, line);
    for (unsigned lane = 0; lane < LANES; ++lane) votes |= machine.threads[first_of_warp() + lane].given[turn] << lane;
    return votes;
}

// The threads from `first` on that wait for each other may go on if all of them are here, at one place.
static bool release(State state, unsigned first, unsigned count, const char* apart) {
    Thread* group = &machine.threads[first];
    unsigned here = 0, gone = 0;
    for (unsigned i = 0; i < count; ++i) {
        here += group[i].state == state;
        gone += group[i].state == State::Done;
    }
    if (here == 0 || here + gone < count) return false;
    for (unsigned i = 0; i < count; ++i) {
        if (gone > 0 || group[i].line != group[0].line) fail(machine.kernel, apart);
    }
    for (unsigned i = 0; i < count; ++i) group[i].state = State::Ready;
    return true;
}

// Between the variables lies what the sanitizer guards.
__attribute__((no_sanitize("address"))) static void fill_shared_memory() {
    for (volatile unsigned char* at = __start_shared_memory; at != __stop_shared_memory; ++at) *at = 0xff;
}

// Lets the lanes of a warp that can go on do so; whether there were any.
static bool run_warp(unsigned first, bool backward) {
    bool moved = false;
    for (unsigned i = 0; i < LANES; ++i) {
        unsigned index = first + (backward ? LANES - 1 - i : i);
        if (machine.threads[index].state != State::Ready) continue;
        resume(index);
        moved = true;
    }
    release(State::Warp, first, LANES, "lanes of a warp exchange at different places, or some left");
    return moved;
}

// Runs one block. Forwards, the warps keep step with each other; backwards, each goes as far ahead as it can alone.
static void run_block(const char* kernel, bool backward, std::function<void()> body) {
    machine.kernel = kernel;
    machine.body = std::move(body);
    if (machine.threads.empty()) make_threads();
    fill_shared_memory();
    for (Thread& thread : machine.threads) {
        thread.state = State::Ready;
        thread.exchanges = 0;
    }
    for (;;) {
        bool moved = false, done = true;
        for (unsigned i = 0; i < BLOCK_THREADS; i += LANES) {
            unsigned first = backward ? BLOCK_THREADS - LANES - i : i;
            while (run_warp(first, backward)) {
                moved = true;
                if (!backward) break;
            }
        }
        moved |= release(State::Block, 0, BLOCK_THREADS, "threads wait at different barriers, or some left before one");
        for (const Thread& thread : machine.threads) done &= thread.state == State::Done;
        if (done) return;
        if (!moved) fail(machine.kernel, "its threads wait for each other forever");
    }
}

} // namespace cuda
