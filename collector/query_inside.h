/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Between the files query*.c. Nobody else includes this. */
#ifndef COLLECTOR_QUERY_INSIDE_H
#define COLLECTOR_QUERY_INSIDE_H

#include "collector/history.h"
#include "collector/prints.h"
#include "collector/query.h"
#include "collector/run.h"
#include "graph/lineage.h"

/*
 * Parts of a message of the API, all of them malloc'ed: one protobuf_c_message_free_unpacked() frees the whole,
 * finished or not. Without memory: NULL, or -ENOMEM.
 */
void *query_make(const ProtobufCMessageDescriptor *descriptor);
int query_text(char **field, const char *text); /* NULL is empty. The field is fresh */
int query_bytes(ProtobufCBinaryData *field, const void *bytes, size_t size);
/* Appends to a repeated field; the row is taken, also on failure (NULL: without memory). */
int query_row_add(void *rows /* of pointers */, size_t *n, void *row);
int query_text_add(char ***texts, size_t *n, const char *text, size_t size);
int query_lines_add(char ***rows, size_t *n, const char *text); /* of a text, without their ends */

/* Parts of a history, for Repeated, too. */
int query_count_add(Bop__Api__Count ***rows, size_t *n, const char *name, uint64_t count);
int query_outcomes_add(Bop__Api__Count ***rows, size_t *n, const uint64_t outcomes[OUTCOME_COUNT]); /* those that came */
Bop__Api__Estimate *query_estimate(const struct richness *richness);
Bop__Api__Class *query_class(const struct history_class *class, const struct history_plan *plan); /* plan NULL: without */

#define QUERY_MAKE(name) query_make(&bop__api__##name##__descriptor)

/* A run that was read, and what was found in it. Zero is an empty one. */
struct query_run {
	struct run *run;
	struct graph *graph;
	struct lineage *lineage;
	struct lineage_time *times;
};

/* id 0: the last one. order: process, thread or "" (process). */
int query_run_open(struct store *store, uint64_t id, const char *order, struct query_run *ret, struct error *e);
/* Also its lineage, and the logical times. */
int query_lineage_open(struct store *store, uint64_t id, const char *order, struct query_run *ret, struct error *e);
void query_run_fini(struct query_run *q);

Bop__Api__RunRow *query_row(const struct store_run *row, const struct prints *prints);

/* query_runs.c, query_run.c, query_lineage.c, query_experiment.c, query_history.c: each answers one kind. */
int query_list_runs(struct store *store, const Bop__Api__ListRuns *ask, Bop__Api__Runs *answer, struct error *e);
int query_remove_run(struct store *store, const Bop__Api__RemoveRun *ask, Bop__Api__Removed *answer, struct error *e);
int query_get_run(struct store *store, const Bop__Api__GetRun *ask, Bop__Api__RunInfo *answer, struct error *e);
int query_get_messages(struct store *store, const Bop__Api__GetMessages *ask, Bop__Api__Messages *answer,
		       struct error *e);
int query_get_past(struct store *store, const Bop__Api__GetPast *ask, Bop__Api__Past *answer, struct error *e);
int query_get_supports(struct store *store, const Bop__Api__GetSupports *ask, Bop__Api__Supports *answer,
		       struct error *e);
int query_get_history(struct store *store, const Bop__Api__GetHistory *ask, Bop__Api__History *answer, struct error *e);
int query_list_hypotheses(struct store *store, const Bop__Api__ListHypotheses *ask, Bop__Api__Hypotheses *answer,
			  struct error *e);
/* A page of what was loaded, -ENOMEM. */
int query_history_fill(const struct history *h, const Bop__Api__GetHistory *ask, Bop__Api__History *answer);
int query_hypotheses_fill(const struct history *h, const Bop__Api__ListHypotheses *ask, Bop__Api__Hypotheses *answer);
int query_describe_experiment(struct store *store, const Bop__Api__DescribeExperiment *ask,
			      Bop__Api__Experiment *answer, struct error *e);

/* query_export.c: needs the lineage, in process order. */
int query_export_molly(const struct query_run *q, FILE *out, struct error *e);
int query_export_sql(const struct query_run *q, FILE *out, struct error *e);
int query_export_shiviz(const struct query_run *q, bool all, FILE *out, struct error *e);
/* query_perfetto.c: needs the graph. */
int query_export_perfetto(const struct query_run *q, bool all, FILE *out, struct error *e);
/* query_otlp_write.c: needs the lineage. */
int query_export_otlp(const struct query_run *q, bool all, FILE *out, struct error *e);

#endif
