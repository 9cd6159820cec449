/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The table of outcomes. Cannot fail. */
#include "collector/outcome.h"

#include <stddef.h>
#include <string.h>

static const struct {
	const char *name;
	int status;
} outcomes[OUTCOME_COUNT] = {
#define X(NAME, name, status, text) [OUTCOME_##NAME] = { #name, status },
	OUTCOMES(X)
#undef X
};

const char *outcome_name(enum outcome outcome)
{
	return (unsigned)outcome < OUTCOME_COUNT ? outcomes[outcome].name : NULL;
}

enum outcome outcome_by_name(const char *name)
{
	for (int i = 1; name && i < OUTCOME_COUNT; i++)
		if (!strcmp(name, outcomes[i].name))
			return i;
	return OUTCOME_NONE;
}

int outcome_status(enum outcome outcome)
{
	return outcome_name(outcome) ? outcomes[outcome].status : outcomes[OUTCOME_ERROR].status;
}

int outcome_worse_status(int a, int b)
{
	static const int worst_first[] = { 3, 130, 1, 2, 0 };

	for (size_t i = 0; i < sizeof(worst_first) / sizeof(*worst_first); i++)
		if (a == worst_first[i] || b == worst_first[i])
			return worst_first[i];
	return a;
}
