/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The agent (tfj) as a child process: finds it, starts it, sees it end. What it writes is kept aside and said when it
 * is closed, so that it cannot mix with our own output. Must not know what the two say to each other.
 */
#ifndef COLLECTOR_AGENTPROC_H
#define COLLECTOR_AGENTPROC_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/error.h"

struct agentproc {
	pid_t pid; /* 0: none */
	int pidfd; /* readable when it has ended; -1: none */
	int log;   /* what it wrote; -1: none */
	bool ended;
	int status; /* as wait() shows it, once ended */
};

#define AGENTPROC_NONE { .pidfd = -1, .log = -1 }

/* Beside the running program, then in PATH. -ENOENT with what to do. */
int agentproc_find(char ret_path[PATH_MAX], struct error *e);

/* arguments: NULL-terminated, [0] the program's name. Signals are as in a fresh process. */
int agentproc_start(struct agentproc *agent, const char *path, char *const arguments[], struct error *e);

/* Waits up to timeout_ns for its end. Returns whether it has ended; then status is set and nothing waits for it. */
bool agentproc_wait(struct agentproc *agent, uint64_t timeout_ns);

/* Kills it if it still lives. Repeats on stderr what it wrote, unless quiet. */
void agentproc_close(struct agentproc *agent, bool quiet);

/* Copies the last line that it wrote, without "tfj: " in front; empty if it wrote none. */
void agentproc_last_line(const struct agentproc *agent, char *buf, size_t size);

/* Runs `PATH clean`, for an agent that was killed, and waits up to 20 s for it. */
int agentproc_clean(const char *path, struct error *e);

/* "exit status 1", "signal 9 (SIGKILL)" for a status of wait(). */
void status_text(int status, char *buf, size_t size);

#endif
