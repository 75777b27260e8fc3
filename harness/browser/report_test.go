package browser

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/device"

	"github.com/muster/muster/sim/fleetcompare"
	"github.com/muster/muster/sim/fleetreport"
	"github.com/muster/muster/sim/record/recordtest"
)

// point moves the pointer to a share of the width of a chart.
func point(selector, share string) step {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		at, err := chromedp.Evaluate[[]float64](`(() => { const e = document.querySelector("`+selector+`"); e.scrollIntoView({block: "center", behavior: "instant"});
			const r = e.getBoundingClientRect(); return [r.left + r.width * `+share+`, r.top + r.height / 2] })()`)(ctx, t)
		if err != nil {
			return err
		}
		_, err = cdp.Call(ctx, t, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: input.DispatchMouseEventTypeMouseMoved, X: at[0], Y: at[1]})
		return err
	})
}

// A person reads the report of a run: what it came to, curves with values under the
// pointer, in the light, in the dark and on a phone.
func TestFleetReport(t *testing.T) {
	if testing.Short() {
		t.Skip("a large file that one goroutine writes")
	}
	ctx := open(t)
	dir := recordtest.Folder(t, recordtest.Options{Seed: 1, Devices: 100_000, Every: 2 * time.Second, Overloaded: true})
	path := filepath.Join(dir, fleetreport.File)
	if err := fleetreport.WriteFile(dir, path); err != nil {
		t.Fatal(err)
	}
	must(t, ctx, "the page", chromedp.Navigate("file://"+path), shows("document.querySelectorAll('.chart').length > 10"),
		shows("document.querySelector('h1').textContent.includes('thresholds')"), shows("document.querySelectorAll('.strain').length > 5"),
		shows("[...document.querySelectorAll('.chart svg path.line, .chart svg path.stack')].every(p => p.getBoundingClientRect().width > 0)"), fits(), picture("fleet-report"))
	must(t, ctx, "values under the pointer", point("#publish-time .plot", "0.5"),
		shows("/^4:(19|21)$/.test(document.querySelector('#publish-time .when').textContent)"), // of 8:40, in steps of 2 s
		shows("/^4:(19|21)$/.test(document.querySelector('#devices .when').textContent)"),      // the same moment on all charts
		shows("document.querySelector('#devices .keys b').textContent.startsWith('100 k')"),
		shows("!document.querySelector('#bytes .cursor').hidden && document.querySelector('#percentiles .cursor').hidden"))
	must(t, ctx, "percentiles", point("#percentiles .plot", "0.4"), shows("document.querySelector('#percentiles .when').textContent == 'p99'"))
	must(t, ctx, "dark", dark(), picture("fleet-report-dark"))
	must(t, ctx, "on a phone", chromedp.Emulate(device.IPhone8), fits(), picture("fleet-report-phone"))
}

// Two runs beside each other.
func TestFleetComparison(t *testing.T) {
	if testing.Short() {
		t.Skip("a large file that one goroutine writes")
	}
	ctx := open(t)
	var sides []*fleetcompare.Side
	for i, slower := range []float64{1, 1.5} {
		s, err := fleetcompare.Read(recordtest.Folder(t, recordtest.Options{Seed: uint64(i), Devices: 20_000, Every: 4 * time.Second, Slower: slower}))
		if err != nil {
			t.Fatal(err)
		}
		sides = append(sides, s)
	}
	path := filepath.Join(t.TempDir(), "compare.html")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := fleetcompare.Compare(sides[0], sides[1], 0.05).Pair().WriteHTML(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	must(t, ctx, "the page", chromedp.Navigate("file://"+path), shows("document.querySelectorAll('.chart').length > 5"),
		shows("document.querySelectorAll('td.fail').length > 5"), fits(), picture("fleet-compare"))
	must(t, ctx, "on a phone", chromedp.Emulate(device.IPhone8), fits(), picture("fleet-compare-phone"))
}
