// Package ledger counts what each phase of a connection costs on the wire: a
// [Ledger] takes decoded packets (package trace) and nothing else, and gives bytes
// up and down, headers included, for each occurrence of a phase.
//
// An occurrence is one exchange with all that belongs to it: the request, its
// acknowledgement, the response, that one's acknowledgement, and every
// retransmission. A handshake is one occurrence whatever it takes. The records of
// a datagram are counted where each belongs; its headers go with the first.
//
// Over TCP each unit of the protocol counts as one packet with 40 bytes of
// headers: the segments that a stack makes of them, and the stack's own
// acknowledgements, are seen by no tap at the ends.
//
// What this package is not: a judge. [Budget] says what is allowed, a check
// compares.
package ledger
