/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Arrays that grow as they are filled. Knows nothing of what is in them. */
#ifndef LIB_GROW_H
#define LIB_GROW_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * Makes room for n elements of a size in *array (a pointer to the array's pointer), which has room for *cap of them.
 * 0 or -ENOMEM; then all is as it was.
 */
static inline int grow(void *array, size_t *cap, size_t n, size_t size)
{
	size_t wanted = *cap ? *cap : 8;
	void *old, *made;

	if (n <= *cap)
		return 0;
	while (wanted < n)
		wanted = wanted > SIZE_MAX / 2 ? n : wanted * 2;
	if (wanted > SIZE_MAX / size)
		return -ENOMEM;
	memcpy(&old, array, sizeof(old));
	made = realloc(old, wanted * size);
	if (!made)
		return -ENOMEM;
	memcpy(array, &made, sizeof(made));
	*cap = wanted;
	return 0;
}

#endif
