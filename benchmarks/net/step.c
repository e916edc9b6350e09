// step PID COUNT: lets a thread execute COUNT instructions of user code one by one, and writes
// for each the address and, where it is a system call, its number plus one (else 0): two
// little-endian words of 64 bits. x86-64 only. benchmarks/run steps starts it.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

static int stopped(pid_t pid) {
    int status;
    return waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status);
}

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    const pid_t pid = atoi(argv[1]);
    const long count = atol(argv[2]);
    if (ptrace(PTRACE_ATTACH, pid, 0, 0) != 0 || !stopped(pid)) {
        perror("step");
        return 1;
    }
    for (long i = 0; i < count; ++i) {
        struct user_regs_struct at;
        if (ptrace(PTRACE_GETREGS, pid, 0, &at) != 0) return 1;
        const long code = ptrace(PTRACE_PEEKTEXT, pid, (void*)at.rip, 0);
        const int is_call = (code & 0xffff) == 0x050f;  // syscall
        const uint64_t step[2] = {at.rip, is_call ? at.rax + 1 : 0};
        fwrite(step, sizeof step, 1, stdout);
        if (ptrace(PTRACE_SINGLESTEP, pid, 0, 0) != 0 || !stopped(pid)) return 1;
    }
    fflush(stdout);
    ptrace(PTRACE_DETACH, pid, 0, 0);
    return 0;
}
