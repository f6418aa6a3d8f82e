//! A directed graph with reasons on its edges, and the shortest way round in it.

use std::collections::VecDeque;

/// Why one node comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The other overwrote what it wrote.
    Overwritten,
    /// The other read what it wrote.
    Read,
    /// It read what the other overwrote.
    ReadBefore,
    /// It was answered before the other arrived.
    Earlier,
    /// It is before the other in one pipeline.
    SentFirst,
}

/// Nodes are numbers from zero.
#[derive(Debug, Default)]
pub struct Graph {
    /// By source: target, why.
    next: Vec<Vec<(u32, Why)>>,
}

impl Graph {
    pub fn new(nodes: usize) -> Self {
        Self { next: vec![Vec::new(); nodes] }
    }

    /// `from` comes before `to`.
    pub fn add(&mut self, from: usize, to: usize, why: Why) {
        if from != to {
            self.next[from].push((to as u32, why));
        }
    }

    /// Some cycle, short for a cycle of this graph: each node with why the next one follows.
    pub fn cycle(&self) -> Option<Vec<(usize, Why)>> {
        let component = self.components();
        let mut sizes = vec![0u32; self.next.len()];
        component.iter().for_each(|number| sizes[*number as usize] += 1);
        let start = (0..self.next.len()).find(|node| 1 < sizes[component[*node] as usize])?;
        let inside = |node: usize| component[node] == component[start];
        // The shortest of those that go through a few nodes of the component.
        let nodes = (0..self.next.len()).filter(|node| inside(*node)).take(50);
        nodes.filter_map(|node| self.round(node, &inside)).min_by_key(Vec::len)
    }

    /// Every node that comes after `from`.
    pub fn reach(&self, from: usize) -> Vec<bool> {
        let mut seen = vec![false; self.next.len()];
        let mut stack = vec![from];
        while let Some(node) = stack.pop() {
            for (to, _) in &self.next[node] {
                if !std::mem::replace(&mut seen[*to as usize], true) {
                    stack.push(*to as usize);
                }
            }
        }
        seen
    }

    /// The same graph with every edge turned round.
    pub fn turned(&self) -> Self {
        let mut turned = Self::new(self.next.len());
        for (from, edges) in self.next.iter().enumerate() {
            edges.iter().for_each(|(to, why)| turned.add(*to as usize, from, *why));
        }
        turned
    }

    /// The shortest way from `start` to itself.
    fn round(&self, start: usize, inside: &dyn Fn(usize) -> bool) -> Option<Vec<(usize, Why)>> {
        let mut came: Vec<Option<(usize, Why)>> = vec![None; self.next.len()];
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for (to, why) in &self.next[node] {
                let to = *to as usize;
                if !inside(to) || came[to].is_some() {
                    continue;
                }
                came[to] = Some((node, *why));
                if to == start {
                    let mut way = Vec::new();
                    let mut at = start;
                    while let Some((before, why)) = came[at]
                        && (way.is_empty() || at != start)
                    {
                        way.push((before, why));
                        at = before;
                    }
                    way.reverse();
                    return Some(way);
                }
                queue.push_back(to);
            }
        }
        None
    }

    /// The strongly connected component of every node (Tarjan 1972), without recursion.
    fn components(&self) -> Vec<u32> {
        const NEW: u32 = u32::MAX;
        let count = self.next.len();
        let (mut order, mut low) = (vec![NEW; count], vec![0u32; count]);
        let mut component = vec![NEW; count];
        let (mut counter, mut components) = (0u32, 0u32);
        let mut open: Vec<u32> = Vec::new();
        let mut path: Vec<(u32, u32)> = Vec::new();
        for root in 0..count as u32 {
            if order[root as usize] != NEW {
                continue;
            }
            path.push((root, 0));
            while let Some((node, edge)) = path.last_mut() {
                let at = *node as usize;
                if *edge == 0 {
                    order[at] = counter;
                    low[at] = counter;
                    counter += 1;
                    open.push(*node);
                }
                if let Some((to, _)) = self.next[at].get(*edge as usize) {
                    *edge += 1;
                    let to = *to as usize;
                    if order[to] == NEW {
                        path.push((to as u32, 0));
                    } else if component[to] == NEW {
                        low[at] = low[at].min(order[to]);
                    }
                    continue;
                }
                if low[at] == order[at] {
                    while let Some(member) = open.pop() {
                        component[member as usize] = components;
                        if member as usize == at {
                            break;
                        }
                    }
                    components += 1;
                }
                path.pop();
                if let Some((parent, _)) = path.last() {
                    let parent = *parent as usize;
                    low[parent] = low[parent].min(low[at]);
                }
            }
        }
        component
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(nodes: usize, edges: &[(usize, usize)]) -> Graph {
        let mut graph = Graph::new(nodes);
        edges.iter().for_each(|(from, to)| graph.add(*from, *to, Why::Read));
        graph
    }

    #[test]
    fn a_cycle_is_found_iff_there_is_one_and_a_short_one() {
        assert_eq!(graph(4, &[(0, 1), (1, 2), (0, 2), (2, 3)]).cycle(), None);
        let found = graph(6, &[(0, 1), (1, 2), (2, 3), (3, 0), (3, 1), (4, 0), (5, 5)]).cycle();
        let nodes: Vec<usize> = found.expect("1 2 3").into_iter().map(|(node, _)| node).collect();
        assert_eq!(nodes.len(), 3, "{nodes:?}");
    }

    #[test]
    fn what_comes_after_is_reached_and_nothing_else() {
        let graph = graph(4, &[(0, 1), (1, 2), (3, 0)]);
        assert_eq!(graph.reach(0), [false, true, true, false]);
        assert_eq!(graph.turned().reach(1), [true, false, false, true]);
    }
}
