// Checks a log with the verifier of the Go checksum database, which knows nothing of smalti: the checkpoint's
// cosignatures (C2SP tlog-cosignature), every entry's place under its root, and, with -since, that an older
// checkpoint is the beginning of the newer one.
//
//	verify-log -url http://HOST/.smalti -quorum 3 [-since NOTE-FILE] NAME=HEXKEY...
package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// cosigner verifies cosignature/v1 lines.
type cosigner struct {
	name string
	key  ed25519.PublicKey
}

func (c cosigner) Name() string { return c.name }

func (c cosigner) KeyHash() uint32 {
	sum := sha256.Sum256(append([]byte(c.name+"\n\x04"), c.key...))
	return binary.BigEndian.Uint32(sum[:])
}

func (c cosigner) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	time := binary.BigEndian.Uint64(sig)
	signed := fmt.Sprintf("cosignature/v1\ntime %d\n%s", time, msg)
	return ed25519.Verify(c.key, []byte(signed), sig[8:])
}

// tiles reads what C2SP tlog-tiles says; the library names tiles with their height of 8.
type tiles struct{ url string }

func (t tiles) Height() int { return 8 }

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range wanted {
		data, err := get(t.url + "/tile/" + strings.TrimPrefix(tile.Path(), "tile/8/"))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func get(url string) ([]byte, error) {
	answer, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != 200 {
		return nil, fmt.Errorf("%s: %s", url, answer.Status)
	}
	return io.ReadAll(answer.Body)
}

func openCheckpoint(written []byte, known note.Verifiers, quorum int) tlog.Tree {
	opened, err := note.Open(written, known)
	if err != nil {
		log.Fatal("checkpoint: ", err)
	}
	if len(opened.Sigs) < quorum {
		log.Fatalf("checkpoint: %d valid cosignatures, %d are needed", len(opened.Sigs), quorum)
	}
	lines := strings.Split(opened.Text, "\n")
	var tree tlog.Tree
	if _, err := fmt.Sscanf(lines[1], "%d", &tree.N); err != nil {
		log.Fatal("checkpoint: ", err)
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		log.Fatal("checkpoint: the root is no hash")
	}
	copy(tree.Hash[:], root)
	return tree
}

func entries(url string, size int64) [][]byte {
	var all [][]byte
	for first := int64(0); first < size; first += 256 {
		width := min(size-first, 256)
		tile := tlog.Tile{H: 8, L: 0, N: first / 256, W: int(width)}
		path := strings.TrimPrefix(tile.Path(), "tile/8/0/")
		data, err := get(url + "/tile/entries/" + path)
		if err != nil {
			log.Fatal(err)
		}
		for len(data) >= 2 {
			length := int(binary.BigEndian.Uint16(data))
			all = append(all, data[2:2+length])
			data = data[2+length:]
		}
	}
	return all
}

func min(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}

func main() {
	url := flag.String("url", "", "prefix of the log")
	quorum := flag.Int("quorum", 1, "cosignatures that are needed")
	since := flag.String("since", "", "an older checkpoint")
	flag.Parse()
	var known []note.Verifier
	for _, arg := range flag.Args() {
		name, key, _ := strings.Cut(arg, "=")
		bytes, err := hex.DecodeString(key)
		if err != nil {
			log.Fatal(err)
		}
		known = append(known, cosigner{name, bytes})
	}
	verifiers := note.VerifierList(known...)
	written, err := get(*url + "/checkpoint")
	if err != nil {
		log.Fatal(err)
	}
	tree := openCheckpoint(written, verifiers, *quorum)
	reader := tlog.TileHashReader(tree, tiles{*url})
	records := entries(*url, tree.N)
	if int64(len(records)) != tree.N {
		log.Fatalf("%d entries of %d", len(records), tree.N)
	}
	for i, record := range records {
		proof, err := tlog.ProveRecord(tree.N, int64(i), reader)
		if err != nil {
			log.Fatal(err)
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, int64(i), tlog.RecordHash(record)); err != nil {
			log.Fatalf("entry %d: %v", i, err)
		}
	}
	if *since != "" {
		old, err := os.ReadFile(*since)
		if err != nil {
			log.Fatal(err)
		}
		before := openCheckpoint(old, verifiers, *quorum)
		proof, err := tlog.ProveTree(tree.N, before.N, reader)
		if err != nil {
			log.Fatal(err)
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, before.N, before.Hash); err != nil {
			log.Fatal("consistency: ", err)
		}
		fmt.Printf("%d leaves are the beginning of ", before.N)
	}
	fmt.Printf("%d entries, all in place\n", tree.N)
}
