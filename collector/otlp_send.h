/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sends requests to an OpenTelemetry collector: OTLP over HTTP, as its specification has it (JSON; what may be tried
 * again, and when). Only http and https, no redirects; answers are hostile: bounded, and shown as printable text.
 *
 * What was sent and not answered can have been taken; sent again, it is the same spans with the same ids.
 */
#ifndef COLLECTOR_OTLP_SEND_H
#define COLLECTOR_OTLP_SEND_H

#include <stdint.h>
#include <stdio.h>

#include "lib/error.h"

#define OTLP_TRIES 4u		    /* of one request, the first included */
#define OTLP_WAIT_MAX_S 30u	    /* a collector that asks for more is not waited for */
#define OTLP_ANSWER_MAX (1u << 20) /* bytes */

struct otlp_sent {
	uint64_t spans, rejected; /* that were sent; of which the collector did not want so many */
	char *message; /* the collector's first word about those it rejected, or a warning; NULL: none. malloc'ed */
};

/*
 * A URL can have secrets in it: user and password before an @, a key behind a ?. What is given becomes what may be shown, with *** in their
 * place: so it does not stay in the list of processes either, when it is an argument of this one. Returns the whole one, which the caller
 * frees; NULL: no memory, and nothing changed.
 */
char *otlp_url_take(char *url);

/*
 * lines: of query_export_otlp(), from where the file stands. timeout_s: of each try. -EINVAL: url is none of http or
 * https; -ECONNREFUSED and the like: nobody is there; -ETIMEDOUT; -EBUSY: it asked to wait for too long, or too often;
 * -EREMOTEIO: it refused; -EBADMSG: that is no collector. e says how much it had taken before. *ret_sent is filled in
 * any case. shown: what is said of url.
 */
int otlp_send(const char *url, const char *shown, FILE *lines, unsigned timeout_s, struct otlp_sent *ret_sent, struct error *e);

#endif
