/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See richness.h; eq. N is that of appendix B there. */
#include "collector/richness.h"

#include <math.h>

#define Z 1.96 /* 95% */

static double variance_of(double once, double twice, double estimate)
{
	double more = twice + 1;

	if (once < 1)
		return 0; /* eq. 8 is for filled_set() */
	if (twice < 1) /* eq. 7 */
		return once * (once - 1) / 2 + once * pow(2 * once - 1, 2) / 4 - pow(once, 4) / (4 * estimate);
	/* eq. 6 */
	return once * (once - 1) / (2 * more) + once * pow(2 * once - 1, 2) / (4 * more * more) +
	       once * once * twice * pow(once - 1, 2) / (4 * pow(more, 4));
}

/* What eq. 14 takes for the whole where nothing points to unseen classes, and its variance by eq. 8. */
static void filled_set(struct richness *r)
{
	double s = (double)r->classes, p = exp(-(double)r->runs / s);

	r->filled = s;
	if (r->runs < 2) /* says nothing about others */
		return;
	r->filled = s / (1 - p);
	r->filled_variance = s * p * (1 - p) / pow(1 - p, 2);
}

static void interval_set(struct richness *r)
{
	double s = (double)r->classes, unseen = r->estimate - s, k, half;

	if (unseen > 0) { /* eq. 13 */
		k = exp(Z * sqrt(log1p(r->variance / (unseen * unseen))));
		r->low = s + unseen / k;
		r->high = s + unseen * k;
	} else { /* eq. 14 */
		half = Z * sqrt(r->filled_variance);
		r->low = fmin(fmax(s, r->filled - half), r->estimate);
		r->high = fmax(r->filled + half, r->estimate);
	}
}

struct richness richness_of(uint64_t runs, uint64_t classes, uint64_t once, uint64_t twice)
{
	struct richness r = { .runs = runs, .classes = classes, .once = once, .twice = twice };
	double f1 = (double)once, f2 = (double)twice;

	if (!runs || !classes)
		return r;
	r.estimate = (double)classes + f1 * (f1 - 1) / (2 * (f2 + 1)); /* eq. 2 */
	r.variance = fmax(0, variance_of(f1, f2, r.estimate));
	r.next_new = f1 / (double)runs;
	filled_set(&r);
	interval_set(&r);
	return r;
}

void richness_join(struct richness *to, const struct richness *more)
{
	to->runs += more->runs;
	to->classes += more->classes;
	to->once += more->once;
	to->twice += more->twice;
	to->estimate += more->estimate;
	to->variance += more->variance;
	to->filled += more->filled;
	to->filled_variance += more->filled_variance;
	to->next_new = to->runs ? (double)to->once / (double)to->runs : 0;
	interval_set(to);
}
