/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which faults a system must survive: what plans are made of, and how many of each they may have. Plain data,
 * borrowed.
 */
#ifndef LDFI_BUDGET_H
#define LDFI_BUDGET_H

#include <stdint.h>

#define BUDGET_ANY UINT32_MAX

struct budget {
	uint64_t losses_until; /* a message can get lost if its logical time is less than this (Molly's EFF) */
	uint32_t losses;       /* most in one plan; BUDGET_ANY: no matter how many */
	uint32_t crashes;      /* as above */
	const char *const *processes; /* only they may be hit, with what they send and receive; NULL-terminated; NULL: all */
};

#endif
