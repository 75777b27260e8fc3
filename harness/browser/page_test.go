package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/device"

	"github.com/muster/muster/harness/target"
)

// A step is something that a person does, or waits for.
type step = chromedp.Action[chromedp.Void]

// open returns a browser with one empty page.
func open(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("MUSTER_REQUIRE_PEERS") == "1" {
			t.Fatal("MUSTER_REQUIRE_PEERS is 1, but chromium is not installed")
		}
		t.Skip("no browser: install Debian's package chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank"), chromedp.EmulateViewport(1440, 1000)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(ctx, 2*patience)
	t.Cleanup(cancel)
	return ctx
}

// picture leaves a screenshot for people, if they want one.
func picture(name string) step {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		dir := os.Getenv("MUSTER_SCREENSHOTS")
		if dir == "" {
			return nil
		}
		png, err := chromedp.FullScreenshot(100)(ctx, t)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600)
	})
}

// shows waits until a script is true of the page.
func shows(script string) step {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := chromedp.Poll[bool](script, chromedp.WithPollingTimeout(patience))(ctx, t); err != nil {
			return fmt.Errorf("%s: %w", script, err)
		}
		return nil
	})
}

// text waits until an element contains a text.
func text(id, wanted string) step {
	return shows(fmt.Sprintf("Boolean(document.getElementById(%q)?.textContent.includes(%q))", id, wanted))
}

func css(selector string) chromedp.CSS { return chromedp.CSS(selector) }

// dark makes the page believe that the person prefers dark colours.
func dark() step {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}},
		})
		return err
	})
}

func must(t *testing.T, ctx context.Context, what string, steps ...step) {
	t.Helper()
	if err := chromedp.Do(ctx, steps...); err != nil {
		page, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body?.innerText"))
		t.Fatalf("%s: %v; the page says:\n%s", what, err, strings.TrimSpace(page))
	}
}

func signIn(p *party) step {
	return chromedp.Steps(
		chromedp.Navigate(p.url+"/"),
		chromedp.SendKeys(css("#token"), p.token),
		chromedp.Click(css("#login button")),
		chromedp.WaitVisible(css("#desk")),
	)
}

// fits waits until nothing is wider than the window.
func fits() step { return shows("document.documentElement.scrollWidth <= window.innerWidth") }

// A person signs in, looks at a device, calls it, reads it, publishes, and sees what
// crosses the wire.
func TestPage(t *testing.T) {
	ctx := open(t)
	p := newParty(t, "6", "boron@6.2.0", "photon@3.1.0", "argon@3.1.0")
	must(t, ctx, "a wrong token", chromedp.Navigate(p.url+"/"), chromedp.WaitVisible(css("#gate")),
		chromedp.SendKeys(css("#token"), "wrong"), chromedp.Click(css("#login button")), text("notice", "invalid"), picture("sign-in"))
	must(t, ctx, "signing in", signIn(p))
	must(t, ctx, "devices", text("counts", "6 of 6 online"), picture("devices"))
	must(t, ctx, "one device", chromedp.SendKeys(css("#filter"), "boron"), shows("document.querySelectorAll('#devices button').length == 2"),
		chromedp.Click(css("#devices button")), text("facts", "UDP"), text("facts", "6.2.0"), text("facts", "online"),
		shows("document.querySelectorAll('#packets li').length > 5"), text("ledger", "handshake"), text("packets", "Hello"))
	must(t, ctx, "calling a function", shows("document.getElementById('function').options.length > 0"),
		chromedp.Click(css("#call button")), text("result", "returned"))
	must(t, ctx, "reading a variable", chromedp.Click(css("#read button")), text("result", " is "))
	must(t, ctx, "publishing", chromedp.SendKeys(css("#name"), "hello/page"), chromedp.SendKeys(css("#data"), "<b>not markup</b>"),
		chromedp.Click(css("#publish button")), text("events", "<b>not markup</b>"), picture("device"))
	image := filepath.Join(t.TempDir(), "firmware.bin")
	if err := os.WriteFile(image, target.Image(&target.Device{Profile: target.Profile("boron@6.2.0")}, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, ctx, "flashing", chromedp.SetUploadFiles(css("#binary"), []string{image}), chromedp.Click(css("#flash button")),
		shows("!document.getElementById('progress').hidden"), text("progress", "done"), text("ledger", "UpdateChunk"), picture("flashed"))
	must(t, ctx, "dark", dark(), picture("device-dark"))
	must(t, ctx, "on a phone", chromedp.Emulate(device.IPhone8), fits(), picture("phone-device"),
		chromedp.Click(css("#back")), chromedp.WaitVisible(css("#fleet")), fits(), picture("phone"))
	must(t, ctx, "signing out", chromedp.Click(css("#leave")), chromedp.WaitVisible(css("#gate")),
		shows("!document.querySelector('#devices li') && !sessionStorage.length"))
}
