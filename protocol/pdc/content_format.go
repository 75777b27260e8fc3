package pdc

import "strconv"

// A ContentFormat is the value of the Content-Format option (PDC-4.1).
type ContentFormat uint16

// The formats that Device OS 6.2 has.
const (
	FormatText        ContentFormat = 0
	FormatJPEG        ContentFormat = 22
	FormatPNG         ContentFormat = 23
	FormatLinkFormat  ContentFormat = 40
	FormatXML         ContentFormat = 41
	FormatOctetStream ContentFormat = 42
	FormatEXI         ContentFormat = 47
	FormatJSON        ContentFormat = 50
	FormatCBOR        ContentFormat = 60
	// FormatStructured is Particle's own "JSON-like value as CBOR". A device
	// publishes it but takes only FormatCBOR (see [ContentFormat.Delivered]).
	FormatStructured ContentFormat = 65001
)

// String returns the media type, the number when it is unknown.
func (f ContentFormat) String() string {
	switch f {
	case FormatText:
		return "text/plain"
	case FormatJPEG:
		return "image/jpeg"
	case FormatPNG:
		return "image/png"
	case FormatLinkFormat:
		return "application/link-format"
	case FormatXML:
		return "application/xml"
	case FormatOctetStream:
		return "application/octet-stream"
	case FormatEXI:
		return "application/exi"
	case FormatJSON:
		return "application/json"
	case FormatCBOR:
		return "application/cbor"
	case FormatStructured:
		return "application/vnd.particle.json+cbor"
	}
	return strconv.Itoa(int(f))
}

// Text reports whether a 6.2 text handler takes the format.
func (f ContentFormat) Text() bool {
	return f == FormatText || f == FormatLinkFormat || f == FormatXML || f == FormatJSON
}

// Delivered returns the format under which data that was published in f is
// delivered.
//
// Device OS: 6.2.0 publishes structured data as 65001, but its handlers of
// structured data take only 60, with the same bytes.
func (f ContentFormat) Delivered() ContentFormat {
	if f == FormatStructured {
		return FormatCBOR
	}
	return f
}
