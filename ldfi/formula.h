/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is known, as it is told to a solver: which sets of failures break which goal (knowledge.h says what that means).
 * Supports can be added; for new failures a new formula is made. Pure.
 */
#ifndef LDFI_FORMULA_H
#define LDFI_FORMULA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ldfi/hitting.h"
#include "ldfi/knowledge.h"

struct formula;

/* knowledge is borrowed until formula_free(). size: the largest that plans can be asked for. -ENOMEM. */
int formula_new(const struct knowledge *knowledge, const struct budget *budget, uint32_t size, struct formula **ret_formula);
void formula_free(struct formula *formula);

/* Something was learned, but no new failure. 1: it cannot be added, a new formula must be made; 0; -ENOMEM. */
int formula_learn(struct formula *formula);

size_t formula_n_failures(const struct formula *formula);
size_t formula_n_goals(const struct formula *formula);
/* To ask for plans, whose things are failures. */
struct hitting *formula_hitting(struct formula *formula);
bool formula_breaks(const struct formula *formula, size_t goal, const struct failures *plan);

#endif
