package cloudref

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/pdc"
)

func (s *settings) deviceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "device",
		Short: "Register devices: only those whose key is known get in",
		Long: `Register devices, with the cloud running or not.

A key is P-256 for devices over UDP and RSA-1024 for those over TCP, in PEM or DER,
public or private; of a private key only the public half is kept.`,
	}
	cmd.AddCommand(s.addCommand(false), s.addCommand(true), s.importCommand(), s.listCommand(), s.removeCommand(), s.trustCommand())
	return cmd
}

// addCommand is "add", or "rekey".
func (s *settings) addCommand(rekey bool) *cobra.Command {
	var file, name, owner, platform string
	cmd := &cobra.Command{
		Use:          "add ID --key FILE",
		Short:        "Register a device",
		Example:      "  muster cloud device add e00fce68a1b2c3d4e5f60718 --key device.pub.pem --name lamp --platform boron",
		Args:         cobra.ExactArgs(1),
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			d := deskDevice{ID: args[0], Name: name, Owner: owner}
			if platform != "" {
				p, known := pdc.ParsePlatform(platform)
				if !known {
					return fmt.Errorf("--platform %q: such as boron, argon, p2, electron or photon", platform)
				}
				d.Platform = uint16(p)
			}
			return s.addDevice(cmd.Context(), cmd.OutOrStdout(), d, file, rekey)
		},
	}
	cmd.Flags().StringVar(&file, "key", "", "file with the device's key")
	if err := cmd.MarkFlagRequired("key"); err != nil {
		panic(err)
	}
	if rekey {
		cmd.Use, cmd.Short = "rekey ID --key FILE", "Give a device another key; its sessions end"
		cmd.Example = "  muster cloud device rekey e00fce68a1b2c3d4e5f60718 --key new.pub.pem"
		return cmd
	}
	cmd.Flags().StringVar(&name, "name", "", "name of the device")
	cmd.Flags().StringVar(&platform, "platform", "", "its platform, such as boron: what lists show until it says so itself")
	cmd.Flags().StringVar(&owner, "owner", "", "user name of its owner (default "+defaultOwner+")")
	return cmd
}

func (s *settings) addDevice(ctx context.Context, w io.Writer, d deskDevice, file string, rekey bool) error {
	if _, err := store.ParseDeviceID(d.ID); err != nil {
		return fmt.Errorf("device %q: an id has 24 hexadecimal digits", d.ID)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("device %s: reading its key: %w", d.ID, err)
	}
	if d.P256, d.RSA, err = ParseDeviceKey(b); err != nil {
		return fmt.Errorf("device %s: %s: %w", d.ID, file, err)
	}
	path := "/devices"
	if rekey {
		path += "?rekey=1"
	}
	var added deskDevice
	if err := s.ask(ctx, http.MethodPost, path, d, &added); err != nil {
		return err
	}
	fmt.Fprintf(w, "device %s registered for %s, owner %s\n", added.ID, transports(added), added.Owner)
	return nil
}

// ask asks the desk of the data directory.
func (s *settings) ask(ctx context.Context, method, path string, in, out any) error {
	c, err := dialDesk(ctx, Options{Dir: s.data, NATS: s.nats, NATSFiles: s.natsFiles})
	if err != nil {
		return err
	}
	defer c.close()
	return c.do(ctx, method, path, in, out)
}

func transports(d deskDevice) string {
	var list []string
	if d.P256 != nil {
		list = append(list, "UDP")
	}
	if d.RSA != nil {
		list = append(list, "TCP")
	}
	return strings.Join(list, "+")
}

func (s *settings) listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the devices", Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var devices []deskDevice
			if err := s.ask(cmd.Context(), http.MethodGet, "/devices", nil, &devices); err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ID\tNAME\tOWNER\tKEYS\tONLINE\tADDRESS\tDEVICE OS")
			for _, d := range devices {
				release := ""
				if d.System != 0 {
					release = pdc.Release(d.System)
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%v\t%s\t%s\n", d.ID, d.Name, d.Owner, transports(d), d.Online, d.Peer, release)
			}
			return w.Flush()
		},
	}
}

func (s *settings) removeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove ID", Short: "Forget a device: its session ends and it does not get in again", Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			var nothing struct{}
			if err := s.ask(cmd.Context(), http.MethodDelete, "/devices/"+args[0], nil, &nothing); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "device %s removed\n", args[0])
			return nil
		},
	}
}

func (s *settings) keysCommand() *cobra.Command {
	return &cobra.Command{
		Use: "keys", Short: "Write the server keys for boards, and show the public keys of the cloud", Args: cobra.NoArgs, SilenceUsage: true,
		Long: `Write the finished server keys for boards, with the address --host in them, and show
the public keys of the cloud. Keys that are not there yet are made.`,
		Example: "  muster cloud keys --host cloud.example.org",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.showKeys(cmd.OutOrStdout())
		},
	}
}

func (s *settings) showKeys(w io.Writer) error {
	o := Options{Dir: s.data}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return fmt.Errorf("cloud: making the data directory: %w", err)
	}
	if err := o.loadKeys(); err != nil {
		return err
	}
	udp, tcp := spki(&o.ECKey.PublicKey), spki(&o.RSAKey.PublicKey)
	host := firstOf(s.host, ownAddress())
	if err := WriteKeyBlobs(o.Dir, host, PortUDP, PortTCP, udp, tcp); err != nil {
		return err
	}
	for _, key := range []struct {
		what, file string
		at         int
		spki       []byte
	}{{"UDP", fileBlobUDP, dfuUDP, udp}, {"TCP", fileBlobTCP, dfuTCP, tcp}} {
		path := filepath.Join(o.Dir, key.file)
		fmt.Fprintf(w, "%s, for %s: %s\n  %s\n%s\n", key.what, host, path, dfuLine(path, key.at),
			pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: key.spki}))
	}
	return nil
}
