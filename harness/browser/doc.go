// Package browser drives the live page of the reference cloud in a real browser,
// with simulated devices on it.
//
// All of it is tests. They need Chromium, Debian's package chromium; without it
// they are skipped, and with MUSTER_REQUIRE_PEERS=1 in the environment they fail.
// MUSTER_SCREENSHOTS=DIR makes them leave pictures there for people to look at.
package browser
