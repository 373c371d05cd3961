// An application on Go's net/http/fcgi, which truly multiplexes: responses leave in any order.
//
// It serves the listening socket it inherits as file descriptor 0. A pattern's byte i is
// (seed + i) mod 251, as in harness/mod.rs.
package main

import (
	"fmt"
	"hash/fnv"
	"io"
	"math/rand"
	"net/http"
	"net/http/fcgi"
	"os"
	"strconv"
	"sync"
	"time"
)

func main() {
	http.HandleFunc("/echo", echo)
	http.HandleFunc("/tag", tag)
	http.HandleFunc("/early", early)
	http.HandleFunc("/big", big)
	http.HandleFunc("/slow", slow)
	http.HandleFunc("/late", late)
	fmt.Fprintln(os.Stderr, "ready")
	if err := fcgi.Serve(nil, nil); err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1)
	}
}

// echo reads the whole body and answers with its length and hash.
func echo(w http.ResponseWriter, r *http.Request) {
	hash := fnv.New64a()
	length, err := io.Copy(hash, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "length=%d\nfnv1a64=%016x\n", length, hash.Sum64())
}

// tag answers after a delay of at most ?delay= milliseconds with its own ?tag= and ?size= bytes of
// the pattern that starts at the tag. The delay is drawn from the tag, so that a run can be repeated. With
// ?together= it begins only when so many requests are here at once.
func tag(w http.ResponseWriter, r *http.Request) {
	seed := number(r, "tag", 0)
	if count := number(r, "together", 0); count > 0 {
		gather(count)
	}
	if limit := number(r, "delay", 0); limit > 0 {
		drawn := rand.New(rand.NewSource(int64(seed))).Intn(limit + 1)
		time.Sleep(time.Duration(drawn) * time.Millisecond)
	}
	w.Header().Set("X-Tag", strconv.Itoa(seed))
	writePattern(w, seed, number(r, "size", 0))
}

var (
	gathered  int
	gathering sync.Mutex
	complete  = make(chan struct{})
)

// gather returns when so many requests have called it.
func gather(count int) {
	gathering.Lock()
	gathered++
	here := complete
	if gathered == count {
		gathered, complete = 0, make(chan struct{})
		close(here)
	}
	gathering.Unlock()
	<-here
}

// early answers without reading the body.
func early(w http.ResponseWriter, _ *http.Request) {
	io.WriteString(w, "early\n")
}

// big answers with ?size= bytes of the pattern that starts at ?seed=.
func big(w http.ResponseWriter, r *http.Request) {
	writePattern(w, number(r, "seed", 0), number(r, "size", 0))
}

// slow says nothing for ?ms= milliseconds, then answers.
func slow(w http.ResponseWriter, r *http.Request) {
	time.Sleep(time.Duration(number(r, "ms", 100)) * time.Millisecond)
	io.WriteString(w, "awake\n")
}

// late reads the body up to its end or an abort, and answers ?ms= milliseconds after that in any case.
func late(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	time.Sleep(time.Duration(number(r, "ms", 100)) * time.Millisecond)
	io.WriteString(w, "late\n")
}

func number(r *http.Request, name string, byDefault int) int {
	if n, err := strconv.Atoi(r.URL.Query().Get(name)); err == nil {
		return n
	}
	return byDefault
}

func writePattern(w http.ResponseWriter, seed, size int) {
	w.Header().Set("Content-Type", "application/octet-stream")
	piece := make([]byte, 251*256)
	for i := range piece {
		piece[i] = byte((seed + i) % 251)
	}
	for size > 0 {
		n := size
		if n > len(piece) {
			n = len(piece)
		}
		if _, err := w.Write(piece[:n]); err != nil {
			return
		}
		size -= n
	}
}
