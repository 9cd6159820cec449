/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Between hunt*.c. */
#ifndef COLLECTOR_HUNT_INSIDE_H
#define COLLECTOR_HUNT_INSIDE_H

#include "collector/hunt.h"
#include "collector/outcome.h"

struct hunt {
	struct hunt_settings settings;
	struct remote *remote;
	struct api_answer experiment; /* EXPERIMENT */
	struct symmetry_role *roles;
	struct symmetry_member *members; /* of all of them */
	const char **processes;
	struct loop *loop;
	size_t left_out; /* roles that cannot be used */
	uint64_t began_ns;
	unsigned errors; /* runs one after the other that the harness could not make */
};

/* What a run was asked to do, and what came of it. */
struct hunt_run {
	const char *const *lines;
	size_t n_lines;
	uint64_t number; /* of the server's */
	enum outcome outcome;
	bool whole;	    /* no event of it is lost */
	char reason[512]; /* why it is what it is; "": the outcome says it */
};

/* Runs a plan. An error: nothing can be run any more. */
int hunt_run(struct hunt *hunt, const char *const *lines, size_t n, struct hunt_run *ret, struct error *e);

/* What the loop is to know of a run, as long as it is not freed. */
struct hunt_trial {
	struct trial trial;
	struct api_answer *answers; /* what it points to */
	size_t n_answers, cap_answers;
	struct trial_message *messages;
	struct trial_goal *goals;
	struct trial_message *supports;
	struct trial_crash *crashes;
};

/* Asks for messages, and of a good run for its supports. What cannot be concluded from makes it inconclusive, and run->reason says why. */
int hunt_trial_make(struct hunt *hunt, struct hunt_run *run, struct hunt_trial *ret, struct error *e);
void hunt_trial_fini(struct hunt_trial *trial);

/* A violation, as small as it is, and what it leaves on disk. */
struct hunt_violation {
	struct api_answer minimized; /* MINIMIZED; or API_ANSWER_NONE: the plan has one fault */
	const char **lines; /* n of them; borrowed */
	size_t n;
	uint64_t run; /* the last that was violated, by these */
	uint64_t runs;	       /* that looked for fewer faults */
	uint64_t again, tried; /* of `tried` repetitions so many were violated */
	char *output; /* what the check said; without its goals */
	char *picture, *plan; /* files */
	char *command; /* that repeats it */
};

int hunt_violation_make(struct hunt *hunt, const struct hunt_run *run, struct hunt_violation *ret, struct error *e);
void hunt_violation_fini(struct hunt_violation *violation);

/* How it goes, and how it ended; text or JSON, on stdout. */
void hunt_show_begin(const struct hunt *hunt);
void hunt_show_run(const struct hunt *hunt, const struct hunt_run *run, const struct loop_learned *learned);
void hunt_show_violation(const struct hunt *hunt, const struct hunt_violation *violation);
void hunt_show_end(const struct hunt *hunt, enum loop_state state, const struct hunt_run *last);

#endif
