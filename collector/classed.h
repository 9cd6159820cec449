/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What sealing is told about the class of a run (store.h), from its graph and its prints. */
#ifndef COLLECTOR_CLASSED_H
#define COLLECTOR_CLASSED_H

#include "collector/prints.h"
#include "collector/store.h"

/* Its prints, or why they do not count: static, not to be freed with the row. */
void classed_row(const struct prints *prints, struct store_run *row);

/* Lines of the faults that were injected while it went on. Caller frees; 0 and NULL: there were none; or -ENOMEM. */
int classed_injected(const struct graph *graph, const struct store_run *row, char **ret_lines);

#endif
