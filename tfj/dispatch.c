/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See dispatch.h: all that can fail comes before the stream counts its batch. */
#include "tfj/dispatch.h"

int dispatch(struct stream *stream, struct link *link, bool last, uint64_t emitted, uint64_t lost)
{
	unsigned char *bytes;
	size_t size;
	int err = link_reserve(link);

	if (!err)
		err = stream_cut(stream, last, emitted, lost, &bytes, &size);
	if (!err)
		link_batch(link, stream->run, stream->batches, bytes, size);
	return err;
}
