/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What an earlier run of an experiment called its connections, messages and processes: what a plan can mean. */
#ifndef COLLECTOR_LABELS_H
#define COLLECTOR_LABELS_H

#include "collector/store.h"
#include "lib/nearest.h"

struct labels;

/*
 * Of the last run of the experiment that ended whole and had no faults. *ret_labels NULL: there is none, or what it
 * recorded makes no graph. As slow as building that.
 */
int labels_load(struct store *store, const char *experiment, struct labels **ret_labels, struct error *e);
void labels_free(struct labels *labels);

/* The number of that run. */
uint64_t labels_run(const struct labels *labels);

enum labels_answer { LABELS_UNKNOWN, LABELS_KNOWN, LABELS_RACY };

/* client>s1:7000#2 */
enum labels_answer labels_connection(const struct labels *labels, const char *connection);
/* A message of it; reply: from the acceptor. One that the run did not come to is UNKNOWN. */
enum labels_answer labels_message(const struct labels *labels, const char *connection, bool reply, uint32_t message);
enum labels_answer labels_process(const struct labels *labels, const char *process);

/* Offers all connections. */
void labels_offer(const struct labels *labels, struct nearest *nearest);

#endif
