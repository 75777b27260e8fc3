package browser

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/device"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/timeline"
)

// TestReportOfABench reads the report of a run with a board: what happened line by
// line, by kind and by text, on a desk and on a phone.
func TestReportOfABench(t *testing.T) {
	run := &report.Run{Tool: "muster conform", Device: "the board on rig boron-1", Cloud: "the reference cloud", Duration: 10e9}
	run.Results = []report.Result{{Suite: "bench", Check: "power-cut", Text: "it comes back", DeviceOS: "6.2.0", Transport: "udp", Verdict: report.Pass}}
	run.Timeline = []timeline.Event{
		{At: 1e9, For: 8e9, Lane: "run", Kind: timeline.Step, Text: "bench/power-cut", Check: "bench/power-cut"},
		{At: 2e9, Lane: "power", Kind: timeline.Power, Text: "boron-1: cut by hub"},
		{At: 2.1e9, Lane: "usb", Kind: timeline.USB, Text: "boron-1: the port is gone"},
		{At: 5e9, Lane: "boron-1", Kind: timeline.Serial, Text: "0000000001 [app] INFO: application started, and a long line that a phone has to break, because it is wider than its screen"},
		{At: 6e9, Lane: "e00fce68aabbccddeeff0011", Kind: timeline.Packet, Text: "up 53+28 [253 #1 CON EMPTY mid=0001 (Ping)]"},
		{At: 7e9, Lane: "cloud", Kind: timeline.Cloud, Text: "online, session resumed"},
	}
	name := filepath.Join(t.TempDir(), "index.html")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(run.WriteHTML(f), f.Close()); err != nil {
		t.Fatal(err)
	}
	const shown = "[...document.querySelectorAll('#log tbody tr')].filter((r) => !r.hidden).length"
	ctx := open(t)
	must(t, ctx, "the log", chromedp.Navigate("file://"+name), chromedp.Click(css("#log summary")), chromedp.WaitVisible(css("#log .kinds")), shows(shown+" == 6"))
	must(t, ctx, "without a kind", chromedp.Click(css("#log input[data-kind=serial]")), shows(shown+" == 5"))
	must(t, ctx, "with a text", chromedp.SendKeys(css("#log input[type=search]"), "boron"), shows(shown+" == 2"), picture("bench"))
	must(t, ctx, "dark", dark(), picture("bench-dark"))
	must(t, ctx, "on a phone", chromedp.Emulate(device.IPhone8), chromedp.Navigate("file://"+name), chromedp.Click(css("#log summary")), fits(), picture("bench-phone"))
}
