/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How many classes there are, the unseen ones included, told from how often each of the seen ones came: Chao1 in its
 * bias-corrected form, with the 95% interval that goes with it. A lower bound: what is so rare that even its kind never came
 * once leaves no trace.
 *
 * A. Chao: Nonparametric estimation of the number of classes in a population. Scandinavian Journal of Statistics 11 (1984);
 * A. Chao: Estimating the population size for capture-recapture data with unequal catchability. Biometrics 43 (1987). Variances and
 * intervals as in R. K. Colwell: EstimateS user's guide, appendix B, equations 2, 6 to 8, 13 and 14. The chance that the next run
 * is new: I. J. Good: The population frequencies of species, Biometrika 40 (1953). Pure.
 */
#ifndef COLLECTOR_RICHNESS_H
#define COLLECTOR_RICHNESS_H

#include <stdint.h>

struct richness {
	uint64_t runs, classes; /* seen */
	uint64_t once, twice;	/* classes that came so often */
	double estimate;	/* of all classes, >= classes; 0 without runs */
	double low, high;	/* 95%: classes <= low <= estimate <= high */
	double next_new;	/* how likely the next run is of a class that never came: 0 to 1 */
	double variance, filled, filled_variance; /* for richness_join() */
};

/* Of runs of one kind. */
struct richness richness_of(uint64_t runs, uint64_t classes, uint64_t once, uint64_t twice);

/* Adds runs of another kind, which have their own classes (those of another plan). */
void richness_join(struct richness *to, const struct richness *more);

#endif
