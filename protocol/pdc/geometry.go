package pdc

// The bounds of OTA protocol v3 (PDC-6.5).
const (
	// MinChunkSize is the smallest chunk in bytes.
	MinChunkSize = 512
	// chunkOverhead is the most that a chunk message has besides its data.
	chunkOverhead = 14
	// receiveWindow is what a device takes ahead of a gap, in bytes.
	receiveWindow = 128 << 10
)

// MaxChunkSize returns the largest chunk in bytes for a device whose largest
// message is maxMessage: 1136 for 1152, 944 for 960.
func MaxChunkSize(maxMessage int) uint32 {
	return uint32(max(0, maxMessage-chunkOverhead) / 4 * 4)
}

// WindowFor returns the window in chunks that a device offers for a chunk
// size above 0.
func WindowFor(chunkSize uint32) uint32 { return receiveWindow / chunkSize }

// A Geometry says which bytes of a file a transfer's chunks hold. Chunks are
// counted from 1 at Offset.
type Geometry struct {
	FileSize  uint32 // bytes
	Offset    uint32 // where chunk 1 begins, at most FileSize
	ChunkSize uint32 // bytes, above 0
}

// Count returns the number of chunks, 0 when nothing is left to send.
func (g Geometry) Count() uint32 {
	if g.Offset >= g.FileSize {
		return 0
	}
	return ChunkCount(g.FileSize-g.Offset, g.ChunkSize)
}

// Chunk returns where in the file chunk index begins and how many bytes it has.
// It reports false for an index below 1 or above Count.
func (g Geometry) Chunk(index uint32) (at, size uint32, ok bool) {
	count := g.Count()
	if index < 1 || index > count {
		return 0, 0, false
	}
	at = g.Offset + (index-1)*g.ChunkSize
	return at, min(g.ChunkSize, g.FileSize-at), true
}
