/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One run on its way from its row in the store to its seal: what its agents say goes to the conduct and, numbered, into
 * the store; what the conduct orders goes to its agents. Told what comes and what time it is; knows no socket and no
 * clock. The same for one agent of our own and for several on other machines.
 *
 * What goes wrong once the run has a number becomes its outcome and is stored with it.
 */
#ifndef COLLECTOR_COURSE_H
#define COLLECTOR_COURSE_H

#include "collector/armed.h"
#include "collector/cast.h"
#include "collector/conduct.h"
#include "collector/run.h"
#include "collector/show.h"
#include "collector/store.h"
#include "proto/wire.h"

struct course;

struct course_door {
	/* For one of the agents, by its place in the cast. A failure to send shows by the agent's silence, or end. */
	void (*send)(void *arg, size_t agent, const struct message *message);
	/* A line for the user; it is kept with the run. There are some hundred at most. */
	void (*warn)(void *arg, const char *text);
	void *arg;
	/* What came of course_inject() and course_lift(), by their token; err: a negative errno and why. May be NULL. */
	void (*answered)(void *arg, uint64_t token, int err, const char *text);
	/* Events of an agent, as they came: trace has them and the tables so far. May be NULL. */
	void (*events)(void *arg, size_t agent, const struct trace *trace);
};

/* What is kept of a run besides the usual: bits. */
enum course_keep {
	COURSE_KEEP_DIRECTORY = 1,
	COURSE_KEEP_ALL = 2, /* the events also of a repeat (store.h) */
};

/* "new", which is also NULL and "": nothing; "all". -EINVAL. Leaves the other bits as they are. */
int course_keep_parse(const char *word, unsigned *keep, struct error *e);

struct course_result {
	struct run *run; /* without its processes; as stored, or, if its end could not be written, as it would have been; NULL: cannot be read */
	struct prints prints;
	bool has_prints;
	char *injected; /* lines of faults that came while it went on; NULL: none */
	struct show_timing timing;
	enum outcome outcome;
	uint64_t id;
	char reason[512];
	char directory[256]; /* kept; else empty */
};

/*
 * Makes the run's directory and its row. keep: course_keep. experiment, cast and plan (checked and numbered; NULL: no faults) are borrowed; hellos (by
 * place in the cast) for the call. An error here: there is no run.
 */
int course_open(struct store *store, const struct experiment *experiment, const struct cast *cast,
		const struct message_hello *const *hellos, const struct plan *plan, unsigned keep, const struct course_door *door,
		struct course **ret_course, struct error *e);
/* Removes the directory, unless it is kept. One that was not sealed stays running, and its owner's end seals it. */
void course_close(struct course *course);

uint64_t course_id(const struct course *course);
const char *course_phase(const struct course *course);
/* Recorded so far, as the agents say. */
uint64_t course_events(const struct course *course);

void course_begin(struct course *course, uint64_t now);
void course_message(struct course *course, size_t agent, const struct message *message, uint64_t now);
/* To be called after a burst of messages, and when course_deadline() has come: commits what is due, and goes on. */
void course_time(struct course *course, uint64_t now);
uint64_t course_deadline(const struct course *course);
/* So much waits for the disk that no more should be read before course_time(). */
bool course_full(const struct course *course);
/* Writes what waits, and acknowledges it. */
void course_commit(struct course *course);

void course_interrupt(struct course *course, uint64_t now); /* in order */
void course_hurry(struct course *course, uint64_t now);     /* without waiting for anybody: everything is killed at once */
/* It is not connected, but may come back: its silence means nothing. */
void course_agent_away(struct course *course, size_t agent, uint64_t now);
/* An agent is gone, and with it the run; the others are told to finish. */
void course_agent_lost(struct course *course, size_t agent, enum outcome outcome, const char *reason);

/*
 * Faults while it goes on: the plan (checked) gets its ids and is borrowed for the call; door.answered() is told with the token.
 * Errors: nobody is told. -ENOENT: there is no such fault.
 */
int course_inject(struct course *course, struct plan *plan, uint64_t *ret_token, uint64_t now, struct error *e);
/* id 0: all. */
int course_lift(struct course *course, uint32_t id, uint64_t *ret_token, uint64_t now, struct error *e);
/* Of the run, and what its agents said of them. */
const struct armed *course_faults(const struct course *course);

bool course_done(const struct course *course);
/* Its agents, or some of them, may still hold something of the run that nobody wants: they did not finish it in order. */
bool course_broken(const struct course *course);
/* The store took no more. */
bool course_store_failed(const struct course *course);

/*
 * The end of a run, once it is done: what waits is committed; what was recorded is read back and counted; the end is
 * written. ret: free with course_result_fini(). cpu_ns: of the run.
 */
void course_seal(struct course *course, uint64_t cpu_ns, struct course_result *ret);
/*
 * The same in three steps, one after the other. The second one takes long, the third one may, and they may be in another thread, if
 * nothing else is done with the course meanwhile: with a store of their own, at store_url (NULL: the course's).
 */
void course_seal_begin(struct course *course, struct course_result *ret);
void course_seal_count(struct course *course, const char *store_url, struct course_result *ret);
/* 0; -errno: the store at store_url cannot be opened, and nothing was done: call it again without one. */
int course_seal_end(struct course *course, const char *store_url, uint64_t cpu_ns, struct course_result *ret);
void course_result_fini(struct course_result *result);

#endif
