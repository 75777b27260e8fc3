package conformance

// Suites returns the suites in the order in which they run: each finds the
// devices as the one before left them, connected.
func Suites() []Suite {
	return []Suite{
		handshakeSuite(),
		pubsubSuite(),
		functionSuite(),
		variableSuite(),
		otaSuite(),
		resumeSuite(),
		sessionSuite(),
		hostileSuite(),
		timerSuite(),
		networkSuite(),
		dispatchSuite(),
		connectSuite(),
		publishingSuite(),
		askingSuite(),
		receivingSuite(),
		legacySuite(),
		hearingSuite(),
		describingSuite(),
		listeningSuite(),
		callingSuite(),
		sendingSuite(),
		ledgersSuite(),
		safeModeSuite(),
		tcpSuite(),
		dtlsSuite(),
		recordsSuite(),
		restoreSuite(),
		livenessSuite(),
		benchSuite(),
		apiSuite(),
	}
}
