/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What of history is most like a run. Among the classes of its experiment, whatever their plans, the 256 newest are looked at, and of
 * older ones those that share a key of their sketches with it (graph/sketch.h): some hundred at most, however many there are. The
 * nearest of them is that of the highest similarity (an estimate), of equal ones the first one found.
 *
 * Newest are those that have the key of their experiment (store_experiment_key()). A bop of before gave its classes only keys of
 * sketches: they are looked at as older ones are, until their runs were exported and imported.
 *
 * Nearest is a question to the past: of classes found before the run's own one, so that the answer stays what it is, and is the same for
 * repeats. Only if there is none, later ones are looked at.
 */
#ifndef COLLECTOR_NEAR_H
#define COLLECTOR_NEAR_H

#include "collector/store.h"

#define NEAR_LEAST 0.05 /* what has less in common is not called similar */

/* Whose nearest. All is borrowed. */
struct near_of {
	const char *experiment;
	uint64_t run, class_id; /* its number; 0: it has no class: then those count as before that a run with a lower number founded */
	const struct sketch *sketch; /* with the keys of the experiment */
};

struct near {
	uint64_t run;	   /* whose events stand for it */
	uint64_t class_id; /* 0: nothing similar; it is the last whole run without faults */
	double similarity; /* 0 to 1, estimated; only with a class */
	bool later;	   /* found after it: there is nothing before */
	bool same;	   /* of its own class: its experiment has done nothing else */
};

/* -ENOENT: there is no other run of its experiment that it could be compared with. */
int near_find(struct store *store, const struct near_of *of, struct near *ret_near, struct error *e);

#endif
