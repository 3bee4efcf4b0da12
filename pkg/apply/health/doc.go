// Package health judges one live object: healthy, progressing or degraded, with the reason.
//
// A verdict follows from the object alone, as its API server sent it: nobody is asked, and no clock is
// read, since nothing but the next event of the object leads to the next verdict. kstatus judges the
// kinds that it judges well. Where it finds an object healthy that does not work yet, the list in
// rules.go has a rule, and the configuration can add rules in CEL, which go before all others. Each
// rule has a folder of cases under testdata.
package health
