//! Where each equation of the paper is computed, and what of it is corrected.
//!
//! S. Iovleff, *Exact Calculus of First and Second Derivatives of Arbitrary Feed-Forward Neural Networks* (2004). The notation is
//! that of the [front page](crate); the sums over the samples i are left out where the paper leaves them out.
//!
//! | paper | equation | computed by |
//! |---|---|---|
//! | 1 | X^k = H^k(P^k(X^{k−1}; W^k)) | [`Network::predict`](crate::Network::predict) for x^m, [`Problem::configuration`](crate::Problem::configuration) for all k; P^k is a [`Propagation`](crate::Propagation), H^k an [`Activation`](crate::Activation) for each unit |
//! | 2 | x^{k(p)} = h⁽ᵖ⁾(p^k) | [`Activation::derivatives`](crate::Activation::derivatives) to p = 2, [`Activation::derivative`](crate::Activation::derivative) for any p |
//! | 3, 4 | E(W) = Σ_i g(x_i^m, y_i) + pen(W) | [`Problem::objective`](crate::Problem::objective) with a [`Loss`](crate::Loss) and a [`Penalty`](crate::Penalty) |
//! | 5, 6 | L(W, X, E) = Σ_i g + pen(W) + Σ_i Σ_k e_i^k · (x_i^k − h(p_i^k)) | [`LagrangianPoint::value`](crate::LagrangianPoint::value) of [`Problem::lagrangian`](crate::Problem::lagrangian), at any X and E |
//! | §3.1 | ∂L/∂e^k = x^k − h(p^k) | [`LagrangianPoint::d_e`](crate::LagrangianPoint::d_e); 0 gives eq. 1 |
//! | §3.1 | ∂L/∂x^k | [`LagrangianPoint::d_x`](crate::LagrangianPoint::d_x); 0 gives eq. 7 and 8 |
//! | 7 | e^m = −∂g/∂x^m | [`Problem::multipliers`](crate::Problem::multipliers) |
//! | 8 | e^k = Σ_{r: k ∈ src(r)} (e^r ⊙ h′(p^r)) ∂p^r/∂x^k | [`Problem::multipliers`](crate::Problem::multipliers) |
//! | 9 | ∂L/∂w = −e h′(p) ∂p/∂w + ∂pen/∂w | [`Problem::gradient`](crate::Problem::gradient), which is ∂E/∂W; [`LagrangianPoint::d_w`](crate::LagrangianPoint::d_w) at any X and E |
//! | 10 | ∂²L/∂w² = −e h″(p) φφᵀ − e h′(p) Ψ + ∂²pen/∂w², φ = ∂p/∂w, Ψ = ∂²p/∂w² | [`Problem::curvature`](crate::Problem::curvature) with [`Curvature::Lagrangian`](crate::Curvature::Lagrangian); [`LagrangianPoint::d_ww`](crate::LagrangianPoint::d_ww) at any X and E |
//! | 11 | p = w · z, φ = z, Ψ = 0 | [`Propagation::Linear`](crate::Propagation::Linear) |
//! | §4.1 | direct connections, a bias | [`Layer::sources`](crate::Layer::sources), and a bias unless [`Layer::without_bias`](crate::Layer::without_bias) |
//! | 12 | ∂^q L/∂w_{a₁}…∂w_{a_q} = −Σ_i e h⁽q⁾(p) z_{a₁} … z_{a_q} | [`Problem::lagrangian_tensor`](crate::Problem::lagrangian_tensor), a [`SymmetricTensor`](crate::SymmetricTensor) |
//! | §4.2 | p = (x − μ)ᵀM(x − μ), h(p) = e^{−p/2} | [`Radial`](crate::Radial) units with [`Activation::ExpNegHalf`](crate::Activation::ExpNegHalf) |
//! | §4.2 | p = X⁰ᵀWX⁰, X⁰ = (x, 1) | [`Radial::Augmented`](crate::Radial::Augmented); its second derivatives −e h″(p) x_{j₁}x_{j₂}x_{j₃}x_{j₄} are eq. 10 |
//!
//! # Corrections
//!
//! * Eq. 10 is not the Hessian of E(W): X and E are held fixed, and moving W moves both. E(W)'s Hessian is not block-diagonal;
//!   it is [`Curvature::Exact`](crate::Curvature::Exact).
//! * §3.2 gives E^m without the minus of eq. 7.
//! * Eq. 8, the line before it and §3.2 print indices k and j (in x^{k(1)}, e_j, W^k) where the later layer and its unit, k1 and j1,
//!   are meant.
//! * The last formula of §3.2 merges the two terms of eq. 10 and drops one.
//! * §4.1 counts the squares W^{k1,k}_j × W^{k1,k}_j alone; eq. 10 couples the weights of one row from different sources, too. A row's
//!   block is over its whole z, and there are Σ_k s_k (Σ_{t ∈ src(k)} s_t)² numbers, not Σ_k s_k Σ_t s_t².
//! * Eq. 12 is printed for one sample: the sum over i is to be added. It holds at fixed X and E, as eq. 10 does, and without the penalty.
//! * The penalty λ Σ_k ‖W^k‖ of §3 couples all weights of a layer, so that eq. 10 with it has no blocks of rows; and it has no
//!   derivative at W^k = 0 ([`Penalty::GroupNorm`](crate::Penalty::GroupNorm) says what is returned there).
//! * The augmented form of §4.2 is not the first form written otherwise: only the symmetric part of W is used, which leaves null
//!   directions, and it has one constant more.
//! * §5 takes the Hessian for the information matrix. The matrix of eq. 10 is none; the Hessian and Gauss–Newton are.
//!
//! By hand, one sample x = 1, y = 0 and f = w₂ tanh w₁ at w = (1, 1): with t = tanh 1, e¹ = −t, and the entry of eq. 10 and 12 for w₁ is
//! −e¹ h″ = −2t²(1 − t²); for w₂ it is 0, where the Hessian has t².
//!
//! ```
//! use ndarray::array;
//! use secondo::{Activation, Curvature, Data, Layer, Loss, Network, Problem, Structure};
//! let net = Network::new(1, vec![
//!     Layer::dense(1, Activation::Tanh).without_bias(),
//!     Layer::dense(1, Activation::Identity).without_bias(),
//! ])?;
//! let problem = Problem::new(net, Data::new(array![[1.0]], array![[0.0]])?, Loss::SquaredError)?;
//! let (w, t) = ([1.0, 1.0], 1f64.tanh());
//! let paper = problem.lagrangian_tensor(&w, 1, 0, 2)?.packed()[0];
//! assert!((paper + 2.0 * t * t * (1.0 - t * t)).abs() < 1e-15);
//! assert_eq!(problem.lagrangian_tensor(&w, 2, 0, 2)?.packed(), [0.0]);
//! let exact = problem.curvature(&w, Curvature::Exact, Structure::Diagonal)?;
//! let hessian = exact.curvature.map(|m| m.diagonal()).unwrap_or_default();
//! assert!((hessian[1] - t * t).abs() < 1e-15);
//! # Ok::<(), secondo::Error>(())
//! ```
