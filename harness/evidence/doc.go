// Package evidence keeps what a run saw, so that a verdict can be checked later and
// elsewhere: a bundle, which is a folder of files that other tools open.
//
//	README.txt      what is in it and how to open it
//	manifest.json   versions, seed, command line, what was left out ([Manifest])
//	report.json     the verdicts (package report)
//	traffic.pcapng  the packets, for Wireshark
//	keys.log        the secrets of the sessions in it
//	trace.jsonl     the packets, decoded, one a line ([TraceLine])
//	ledger.json     bytes per phase
//	timeline.jsonl  what happened, on one time axis (package timeline)
//	virtual.jsonl   digests of the virtual networks, which a replay compares
//	virtual/        packets and traces of those whose checks did not pass
//	logs/           what endpoints said
//
// A [Collector] takes everything while the run goes on. It is bounded: sightings go
// to a file of limited size, and of those the bundle gets the packets of the devices
// that findings and measurements are about, and of as many others as fit. What is
// left out is said in the manifest and in the report.
//
// What is never in it: private keys and tokens. The secrets of sessions
// are, unless switched off, because the devices are test devices: whoever has them
// reads what these sessions said and nothing else.
//
// What this package is not: a judge, or a reader of the wire. It keeps what a
// decoder made of it.
package evidence
