// The chain of chains.py as a plain event loop: loop SEED N RATE PATIENCE CORES MEAN [CORES MEAN …].
//
// The measure of what a compiled event loop can do: nothing but the model, every response kept. A
// patience of 0 is none. Prints the same JSON line as chains.py.

#include <sys/resource.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <deque>
#include <queue>
#include <vector>

namespace {

class Random {
public:
    explicit Random(std::uint64_t seed) : state_(mixed(seed)) {}  // far from the next seed's

    double exponential(double mean) { return -mean * std::log(uniform()); }

private:
    double uniform() {  // SplitMix64, never 0
        state_ += 0x9E3779B97F4A7C15;
        return (static_cast<double>(mixed(state_) >> 12) + 0.5) * 0x1p-52;
    }

    static std::uint64_t mixed(std::uint64_t z) {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    std::uint64_t state_;
};

struct Station {
    int free;
    double mean_s;
    std::deque<int> queue;  // of attempts
};

struct Attempt {
    double arrived_s;  // the customer, not the attempt
    int number;
    int station;
    bool is_open;
};

enum Kind { Arrival, Served, Impatient };

struct Event {
    double time_s;
    std::uint64_t order;
    Kind kind;
    int attempt;

    bool operator<(const Event& other) const {  // the first event on top
        return time_s != other.time_s ? time_s > other.time_s : order > other.order;
    }
};

class Loop {
public:
    Loop(std::uint64_t seed, int n, double rate_per_s, double patience_s,
         std::vector<Station> stations)
        : random_(seed), n_(n), gap_s_(1 / rate_per_s), patience_s_(patience_s),
          stations_(std::move(stations)) {}

    void run() {
        schedule(random_.exponential(gap_s_), Arrival, -1);
        while (!events_.empty()) {
            const Event event = events_.top();
            events_.pop();
            now_s_ = event.time_s;
            switch (event.kind) {
                case Arrival: arrive(); break;
                case Served: serve_next(event.attempt); break;
                case Impatient: leave(event.attempt); break;
            }
        }
    }

    std::vector<double> responses;
    int left = 0;

private:
    void schedule(double delay_s, Kind kind, int attempt) {
        events_.push({now_s_ + delay_s, order_++, kind, attempt});
    }

    void arrive() {
        if (++arrived_ < n_) schedule(random_.exponential(gap_s_), Arrival, -1);
        ask(now_s_, 0);
    }

    void ask(double arrived_s, int number) {
        const int attempt = static_cast<int>(attempts_.size());
        attempts_.push_back({arrived_s, number, 0, true});
        if (patience_s_ > 0) schedule(patience_s_, Impatient, attempt);
        enter(attempt);
    }

    void enter(int attempt) {
        Station& station = stations_[attempts_[attempt].station];
        if (station.free == 0) {
            station.queue.push_back(attempt);
            return;
        }
        --station.free;
        schedule(random_.exponential(station.mean_s), Served, attempt);
    }

    void serve_next(int attempt) {
        Station& station = stations_[attempts_[attempt].station];
        if (station.queue.empty()) {
            ++station.free;
        } else {
            schedule(random_.exponential(station.mean_s), Served, station.queue.front());
            station.queue.pop_front();
        }
        if (++attempts_[attempt].station < static_cast<int>(stations_.size())) {
            enter(attempt);
        } else if (attempts_[attempt].is_open) {
            end(attempt);
        }
    }

    void leave(int attempt) {
        if (!attempts_[attempt].is_open) return;
        ++left;
        if (attempts_[attempt].number > 0) {
            end(attempt);
            return;
        }
        attempts_[attempt].is_open = false;
        ask(attempts_[attempt].arrived_s, 1);
    }

    void end(int attempt) {
        attempts_[attempt].is_open = false;
        responses.push_back(now_s_ - attempts_[attempt].arrived_s);
    }

    Random random_;
    int n_;
    double gap_s_;
    double patience_s_;
    std::vector<Station> stations_;
    std::vector<Attempt> attempts_;
    std::priority_queue<Event> events_;
    double now_s_ = 0;
    std::uint64_t order_ = 0;
    int arrived_ = 0;
};

double mean(const std::vector<double>& values, std::size_t from, std::size_t to) {
    double sum = 0;
    for (std::size_t at = from; at < to; ++at) sum += values[at];
    return sum / static_cast<double>(to - from);
}

double standard_error(const std::vector<double>& values) {
    constexpr int batches = 20;
    const std::size_t size = values.size() / batches;
    std::vector<double> means;
    for (int at = 0; at < batches; ++at) means.push_back(mean(values, at * size, (at + 1) * size));
    const double middle = mean(means, 0, batches);
    double squares = 0;
    for (const double value : means) squares += (value - middle) * (value - middle);
    return std::sqrt(squares / (batches - 1) / batches);
}

}  // namespace

int main(int argc, char** argv) {
    std::vector<Station> stations;
    for (int at = 5; at + 1 < argc; at += 2)
        stations.push_back({std::atoi(argv[at]), std::atof(argv[at + 1]), {}});
    Loop loop(std::strtoull(argv[1], nullptr, 10), std::atoi(argv[2]), std::atof(argv[3]),
              std::atof(argv[4]), stations);
    const std::clock_t start = std::clock();
    loop.run();
    const double cpu_s = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const std::size_t n = loop.responses.size();
    std::printf("{\"n\": %zu, \"cpu_s\": %.6f, \"rss_mib\": %.1f, \"mean_s\": %.6f, "
                "\"error_s\": %.6f, \"left_share\": %.6f}\n",
                n, cpu_s, static_cast<double>(usage.ru_maxrss) / 1024, mean(loop.responses, 0, n),
                standard_error(loop.responses),
                static_cast<double>(loop.left) / static_cast<double>(n + loop.left));
}
