/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the parts of the simulator behind random_run.h share. All give up by abort(), as that says. */
#ifndef TESTS_UNIT_RANDOM_INSIDE_H
#define TESTS_UNIT_RANDOM_INSIDE_H

#include "tests/unit/random_run.h"

#define MAX_FDS 64
#define MAX_ENDS 1024

struct segment { /* bytes under way, all of one send */
	uint64_t send; /* event id */
	uint32_t message;
	uint64_t pos, size;
	struct segment *next;
};

struct sim_end {
	uint32_t peer; /* other end, 0: none */
	bool connector, accepted, closed, reset, told; /* told: the program knows of the reset */
	uint64_t open_id, close_id, half_id, reset_id; /* events: CONNECT, CLOSE, CLOSE by shutdown, RESET; 0: none */
	uint64_t sent, received;
	uint32_t messages;
	unsigned holders; /* processes that have it open */
	struct segment *head, *tail; /* to be read by this end */
};

struct sim_thread {
	bool alive, busy;
	struct event call; /* busy: what it will record when the call returns */
	uint32_t short_end, short_message; /* a short write to be continued */
	uint64_t first_cause; /* SPAWN that made it, until its first event */
};

struct sim_process {
	bool alive, waited;
	uint32_t index, parent; /* table indices are number + 1 until a shuffle */
	uint64_t order, exit_id, first_cause;
	unsigned n_threads, n_children;
	struct sim_thread threads[RANDOM_THREADS_MAX];
	uint32_t fds[MAX_FDS];
	unsigned n_fds;
};

struct sim {
	struct random_run *run;
	struct random_options options;
	uint64_t rng, now, next_id;
	struct sim_process processes[RANDOM_PROCESSES_MAX];
	unsigned n_processes, n_roots;
	struct sim_end ends[MAX_ENDS];
	unsigned n_ends;
};

/* --- random_note.c --- */

/* One event causes another, as it is known for certain; 0: there is none. */
void sim_truth(struct sim *s, uint64_t from, uint64_t to, enum graph_rule rule, uint64_t bytes);
/* What a thing of an event must be called, once. */
void sim_label(struct sim *s, uint64_t id, const char *text);
const char *sim_process_name(struct sim *s, uint32_t process);
/* c>t:7000#1, or with another arrow; the end may be either one. */
void sim_connection_name(struct sim *s, uint32_t end, char arrow, char *buf, size_t size);
/* A new event of a thread (NULL: of the kernel). Its id is known at once; sim_emit() records it. */
struct event sim_event(struct sim *s, struct sim_process *p, unsigned thread, enum event_kind kind);
void sim_emit(struct sim *s, struct event event);

/* --- random_process.c --- */

/* Borrowed. */
struct sim_process *sim_process_new(struct sim *s, const char *name, uint32_t box, uint32_t parent);
/* Its first event. */
void sim_start(struct sim *s, struct sim_process *p);
/* The call that the thread is in, if any, returns. */
void sim_call_finish(struct sim *s, struct sim_thread *t);
/* What a thread may do. It does nothing where there is nothing to do it with. */
void sim_spawn(struct sim *s, struct sim_process *p, unsigned thread);
void sim_wait(struct sim *s, struct sim_process *p, unsigned thread);
void sim_exit(struct sim *s, struct sim_process *p, unsigned thread);

/* --- random_socket.c --- */

/* The process lets go of an end; with its last holder it closes. flags: of the event. */
void sim_end_close(struct sim *s, struct sim_process *p, unsigned thread, uint32_t end, unsigned flags);
/* What was not read is gone. */
void sim_queue_drop(struct sim_end *e);
/* What a thread may do, as above. */
void sim_connect(struct sim *s, struct sim_process *p, unsigned thread);
void sim_accept(struct sim *s, struct sim_process *p, unsigned thread);
void sim_send(struct sim *s, struct sim_process *p, unsigned thread);
void sim_recv(struct sim *s, struct sim_process *p, unsigned thread);
void sim_close(struct sim *s, struct sim_process *p, unsigned thread);
void sim_shutdown(struct sim *s, struct sim_process *p, unsigned thread);

#endif
